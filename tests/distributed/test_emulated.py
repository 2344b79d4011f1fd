"""Emulated devices from end to end: real ranks, figures that are the closed forms of what was planted, and a selftest
that is green, and red where the analysis is broken on purpose."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.cli import selftest
from harness.device.emulated.network import Network
from harness.journal.emulation import Emulation
from reports.analysis import losses, ranks, steadiness
from reports.analysis.causes import candidates
from reports.analysis.causes.symptoms import Symptoms
from reports.schema.cases import CellRow
from tests.distributed.conftest import Run, command, rankbench
from tests.factories import build

CLOSE = 1e-6
SMALL = 2**14
"""Bytes of the message that ends each step."""
HOSTS = Emulation(hosts=2, devices_per_host=2)
MESSAGE_S = Network(HOSTS).all_reduce_s(range(4), SMALL)


@pytest.fixture(scope="module")
def tested(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The selftest, whose runs are left where it was asked to."""
    root = tmp_path_factory.mktemp("selftest")
    return rankbench("selftest", "--out", root, root=root)


@pytest.fixture(scope="module")
def causes(tested: Run) -> Run:
    """Its first run, of most causes."""
    return Run(tested.root / "0", tested.code, tested.out)


def test_the_report_is_right_about_every_cause(tested: Run) -> None:
    assert tested.code == 0, tested.out
    planted = [cause for run in selftest.RUNS.values() for cause in run]
    assert tested.out.count("(right)") == len(planted)


@pytest.mark.parametrize(
    ("scenario", "step_s"),
    [
        ("healthy", 10e-3 + MESSAGE_S),
        ("slow_device", 12e-3 + MESSAGE_S),
        ("exposed_communication", 10e-3 + Network(HOSTS).all_reduce_s(range(4), 2**23)),
        ("contention", 11e-3 + MESSAGE_S),
        ("uneven_split", 12.5e-3 + MESSAGE_S),
    ],
)
def test_every_time_is_the_closed_form_of_what_was_planted(causes: Run, scenario: str, step_s: float) -> None:
    rows = {row["world_size"]: row for row in causes.summary["cells"] if row["scenario"] == scenario}
    alone_s, step_s = HOSTS.launch_s + 40e-3, HOSTS.launch_s + step_s
    assert rows[1]["median_s"] == pytest.approx(alone_s, rel=CLOSE)
    assert rows[4]["median_s"] == pytest.approx(step_s, rel=CLOSE)
    assert rows[4]["speedup"] == pytest.approx(alone_s / step_s, rel=CLOSE)
    assert (rows[4]["ci_low_s"], rows[4]["ci_high_s"]) == pytest.approx((step_s, step_s), rel=CLOSE)


def test_the_devices_own_time_is_that_of_its_work_where_launching_takes_longer(causes: Run) -> None:
    (row,) = (row for row in causes.summary["cells"] if row["scenario"] == "launch_bound" and row["world_size"] == 4)
    assert row["median_s"] == pytest.approx(800 * HOSTS.launch_s + 0.5e-3 / 800, rel=1e-3)
    assert row["device_s"] == pytest.approx(0.5e-3, rel=1e-3)


def nothing(*_: Any, **__: Any) -> float:
    return 0.0


def part_of(name: str) -> Callable[..., Any]:
    known = losses._known

    def without(*args: Any) -> Any:
        return {part: values * (0.9 if part == name else 1.0) for part, values in known(*args).items()}

    return without


@pytest.mark.parametrize(
    ("where", "name", "mutant", "number"),
    [
        (losses, "waiting_s", nothing, 0),
        (losses, "_known", part_of("communication"), 0),
        (losses, "_known", part_of("contention"), 0),
        (ranks, "natural_excess", lambda _: 0.5, 0),
        (candidates, "WORTH", 0.5, 0),
        (Symptoms, "lateness_s", np.zeros(4), 2),
        (steadiness, "THROTTLING", 0, 1),
        (CellRow, "host_bound", property(lambda _: False), 0),
        (losses, "_shares", lambda measured, key: np.full(max(len(measured.facts(key)), 1), 0.9), 0),
    ],
)
def test_it_turns_red_where_the_analysis_is_broken(
    tested: Run, monkeypatch: pytest.MonkeyPatch, where: Any, name: str, mutant: Any, number: int
) -> None:
    root, run = tested.root / str(number), list(selftest.RUNS.values())[number]
    monkeypatch.setattr(where, name, mutant)
    assert not all(verdict.right for verdict in selftest.judge(root, run))


def test_nothing_of_it_can_be_taken_for_a_time_of_this_machine(tested: Run) -> None:
    run = Run(tested.root / "1", tested.code, tested.out)
    assert json.loads((run.root / "plan.json").read_text())["emulation"]["throttled_ranks"]["3"]["factor"] == 1.25
    assert "throttled_ranks" in run.summary["run"]["regime"]["emulated"]
    assert run.summary["headline"].startswith("Emulated: ")
    assert "<title>healthy on 4 emulated devices of 2 hosts" in run.page
    assert "every time, table and plot is of planted clocks" in run.page
    assert {row["emulated"] for row in run.csv()} == {"True"}
    told = " ".join(command("report", run.root).stdout.split())
    assert "emulated time" in told and "The devices are emulated" in told
    for form, mark in {
        "openmetrics": 'emulated="true"',
        "github-action-benchmark": "(emulated)",
        "junit": 'property name="emulated"',
        "markdown": "emulated time",
    }.items():
        assert mark in command("export", run.root, "--format", form).stdout


def test_it_is_never_compared_with_real_devices_nor_with_others(tested: Run, tmp_path: Path) -> None:
    told = command("compare", build(tmp_path / "real").root, tested.root / "0")
    assert told.returncode == 2
    assert "be real, as BASE's" in told.stderr
    told = command("compare", tested.root / "0", tested.root / "1")
    assert told.returncode == 2
    assert "regime.emulated" in told.stderr
    alone = tmp_path / "alone"
    inline = rankbench(
        "run", "planted", "--devices", "emulated:1", "--launcher", "inline", "--out", alone, root=alone,
    )  # fmt: skip
    assert inline.code == 0, inline.out
    assert inline.summary["cells"][0]["median_s"] == pytest.approx(20e-3 + HOSTS.launch_s, rel=CLOSE)
