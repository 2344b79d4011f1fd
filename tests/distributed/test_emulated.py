"""Emulated devices from end to end: real ranks, and figures that are the closed forms of what was planted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.device.emulated.network import Network
from harness.journal.emulation import Emulation
from tests.distributed.conftest import Run, command, rankbench

COMPUTE_S, SIZE, SLOW = 20e-3, 2**18, 1.2
CLOSE = 1e-6


@pytest.fixture(scope="module")
def emulated(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Two hosts of a device each, of which the second is slow."""
    root = tmp_path_factory.mktemp("emulated") / "run"
    return rankbench(
        "run", "planted", "--devices", "emulated:2x1", "--emulate", f"slow_ranks.1={SLOW}", "--launches", "6",
        "--set", f"planted.message_mib={SIZE / 2**20}", "--out", root, root=root,
    )  # fmt: skip


def test_every_time_is_the_closed_form_of_what_was_planted(emulated: Run) -> None:
    assert emulated.code == 0, emulated.out
    emulation = Emulation(hosts=2, devices_per_host=1)
    rows = {row["world_size"]: row for row in emulated.summary["cells"]}
    alone_s = emulation.launch_s + COMPUTE_S
    assert rows[1]["median_s"] == pytest.approx(alone_s, rel=CLOSE)
    step_s = emulation.launch_s + SLOW * COMPUTE_S / 2 + Network(emulation).all_reduce_s((0, 1), SIZE)
    assert rows[2]["median_s"] == pytest.approx(step_s, rel=CLOSE)
    assert rows[2]["speedup"] == pytest.approx(alone_s / step_s, rel=CLOSE)
    assert (rows[2]["ci_low_s"], rows[2]["ci_high_s"]) == pytest.approx((step_s, step_s), rel=CLOSE)


def test_the_lost_seconds_are_those_of_the_slow_rank_and_of_the_message(emulated: Run) -> None:
    emulation = Emulation(hosts=2, devices_per_host=1)
    (row,) = (row for row in emulated.summary["losses"] if row["world_size"] == 2)
    message_s = Network(emulation).all_reduce_s((0, 1), SIZE)
    assert row["communication"]["seconds"] == pytest.approx(message_s, rel=1e-5)  # journals have nanoseconds
    assert row["imbalance"]["seconds"] == pytest.approx((SLOW - 1) * COMPUTE_S / 2, rel=CLOSE)
    assert row["contention"]["seconds"] == pytest.approx(0, abs=1e-9)
    assert row["slow_rank"] == 1


def test_nothing_of_it_can_be_taken_for_a_time_of_this_machine(emulated: Run) -> None:
    assert json.loads((emulated.root / "plan.json").read_text())["emulation"]["slow_ranks"] == {"1": SLOW}
    assert "slow_ranks" in emulated.summary["run"]["regime"]["emulated"]
    assert emulated.summary["headline"].startswith("Emulated: ")
    assert "emulated time" in emulated.out
    assert "The devices are emulated" in " ".join(emulated.out.split())
    assert "<title>planted on 2 emulated devices" in emulated.page
    assert {row["emulated"] for row in emulated.csv()} == {"True"}
    for form, mark in {
        "openmetrics": 'emulated="true"',
        "github-action-benchmark": "(emulated)",
        "junit": 'property name="emulated"',
        "markdown": "emulated time",
    }.items():
        assert mark in command("export", emulated.root, "--format", form).stdout


def test_it_is_never_compared_with_real_devices_nor_with_others(emulated: Run, main_run: Run, tmp_path: Path) -> None:
    told = command("compare", main_run.root, emulated.root)
    assert told.returncode == 2
    assert "be real, as BASE's" in told.stderr
    other = rankbench(
        "run", "planted", "--devices", "emulated:1", "--launcher", "inline", "--out", tmp_path / "other",
        root=tmp_path / "other",
    )  # fmt: skip
    assert other.code == 0, other.out
    told = command("compare", emulated.root, other.root)
    assert told.returncode == 2
    assert "regime.emulated" in told.stderr
