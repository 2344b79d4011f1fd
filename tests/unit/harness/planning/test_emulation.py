"""What ``--devices emulated:…`` and ``--emulate`` mean, and what is refused in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.common.errors import UsageError
from harness.device.kinds import KINDS, kind_of
from harness.journal.emulation import Emulation
from harness.journal.plan import Plan
from harness.planning.builder import make
from harness.planning.emulation import emulation
from harness.planning.request import RunRequest


def planned(devices: str, *lines: str) -> Emulation:
    found = emulation(devices, lines)
    assert found is not None
    return found


def test_devices_are_of_one_host_or_of_several() -> None:
    assert (planned("emulated:8").hosts, planned("emulated:8").devices) == (1, 8)
    several = planned("emulated:4x8")
    assert (several.hosts, several.devices) == (4, 32)
    assert [several.host_of(rank) for rank in (0, 7, 8, 31)] == [0, 0, 1, 3]
    assert emulation("cpu:2", ()) is None


def test_settings_are_lines_and_files_and_the_last_one_wins(tmp_path: Path) -> None:
    file = tmp_path / "planted.toml"
    file.write_text("contention = 0.1\n[link]\nbytes_per_s = 1e9\n[slow_ranks]\n1 = 2.0\n")
    found = planned("emulated:2", str(file), "slow_ranks.0=1.5", "contention=0.2")
    assert found.link.bytes_per_s == 1e9
    assert found.slow_ranks == {0: 1.5, 1: 2.0}
    assert found.contention == 0.2


def test_a_part_of_a_link_leaves_the_rest_as_usual() -> None:
    assert (
        planned("emulated:2", "host_link.bytes_per_s=1e9").host_link.latency_s
        == Emulation(devices_per_host=1).host_link.latency_s
    )


def test_its_lines_say_all_that_is_planted_again() -> None:
    found = planned("emulated:2x2", "throttled_ranks.3={after_s=1,factor=2}", "slow_links.0-1=3", "link.latency_s=1e-3")
    assert planned("emulated:2x2", *found.lines) == found
    assert planned("emulated:2x2").words == "2 hosts of 2 devices, as usual"


@pytest.mark.parametrize(
    ("devices", "line", "words"),
    [
        ("emulated", "", "--devices must be emulated:N or emulated:HxN"),
        ("emulated:0", "", "--devices must be emulated:N or emulated:HxN"),
        ("emulated:5000", "", "--devices must name at most 4096"),
        ("emulated:2", "slow_ranks.2=2", "there is no rank 2 among 2 devices"),
        ("emulated:2", "slow_links.0=2", "slow_links names two ranks"),
        ("emulated:2", "slow_rank.1=2", "--emulate slow_rank"),
        ("emulated:2", "contention=-1", "--emulate contention"),
        ("emulated:2", "hosts=2", "--devices has the number of devices"),
        ("emulated:2", "slow_ranks.1", "--emulate must be TOML"),
        ("emulated:2", "absent.toml", "--emulate must name a file that can be read"),
        ("cpu:2", "contention=1", "--emulate needs emulated devices"),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_line(devices: str, line: str, words: str) -> None:
    with pytest.raises(UsageError) as refused:
        emulation(devices, [line] if line else [])
    assert words in str(refused.value) and "\n" not in str(refused.value)


def plan(**asked: object) -> Plan:
    return make(RunRequest(names=["planted"], devices="emulated:2x1", **asked))  # type: ignore[arg-type]


def test_a_plan_holds_the_emulation_and_its_regime_names_it() -> None:
    usual, slow = plan(), plan(emulate=["slow_ranks.1=2"])
    assert usual.emulation is not None and usual.devices == ("emulated:0", "emulated:1")
    assert usual.regime["emulated"] != slow.regime["emulated"]
    assert usual.identity != slow.identity
    assert not any(case.probe for comparison in usual.comparisons for case in comparison.cases)
    assert Plan.model_validate_json(slow.to_json()) == slow


@pytest.mark.parametrize(
    ("devices", "sizes", "packed", "copies"),
    [
        ("emulated:2x1", None, {"@1x2"}, {}),
        ("emulated:2x2", None, {"@1x2", "@1x4", "@2x2"}, {2: 2}),
        ("emulated:3x2", "1,6", {"@1x6", "@2x3"}, {2: 3}),
        ("emulated:2x2", "4", {"@2x2"}, {2: 2}),
        ("emulated:2x2", "1,2", {"@1x2"}, {}),
        ("emulated:4", "4", set(), {}),
    ],
)
def test_each_host_is_measured_by_itself(
    devices: str, sizes: str | None, packed: set[str], copies: dict[int, int]
) -> None:
    made = make(RunRequest(names=["planted"], devices=devices, world_sizes=sizes))
    cases = [case for comparison in made.comparisons for case in comparison.cases if case.packed]
    assert {case.key[case.key.rindex("@") :] for case in cases} == packed
    assert all(case.gang_size == case.copy_size for case in cases)
    assert made.copies == copies


@pytest.mark.parametrize("asked", [{"launcher": "ray"}, {"execution": "graph"}, {"cache": "cold"}])
def test_a_plan_asks_no_more_of_them_than_they_can(asked: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        plan(**asked)


def test_their_ranks_are_on_one_host() -> None:
    request = RunRequest(names=["planted"], devices="emulated:2x2")
    assert make(request, (4, 4)).devices == tuple(f"emulated:{rank}" for rank in range(4))
    with pytest.raises(UsageError, match="emulated devices need all ranks on one host"):
        make(request, (4, 2))


def test_every_device_that_can_be_asked_for_has_a_kind() -> None:
    assert set(KINDS) == {"cpu", "cuda", "emulated"}
    assert kind_of("cuda:1").backend == "nccl" and kind_of("emulated:3").backend == "emulated"
