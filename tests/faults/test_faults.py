"""Whatever breaks is a typed cell with the right rank in time, the rest is measured, and nothing is left.

Each fault once; all of them at every moment, under every launcher: `make faults`.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.distributed.conftest import RANKBENCH
from tests.faults.matrix import ALONE, EXPECTED, plant

TWO = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="two CPU cores stand in for two devices")


@pytest.mark.parametrize(
    ("launcher", "kinds", "moments"),
    [
        pytest.param("torchrun", tuple(EXPECTED), ("sample",), marks=TWO),
        pytest.param("ray", ("quit", "exit0", "stop"), ("check",), marks=TWO),
        ("inline", ALONE, ("setup", "close")),
    ],
)
def test_what_breaks_is_told_in_time_and_the_rest_is_measured(
    launcher: str, kinds: tuple[str, ...], moments: tuple[str, ...]
) -> None:
    told = plant(launcher, kinds, moments)
    assert not told.complaints, "\n".join(told.complaints)
    assert len(told.outcomes) == len(kinds) * len(moments)


def test_a_run_whose_reader_has_gone_goes_on(tmp_path: Path) -> None:
    line = [*RANKBENCH, "run", "split", "--devices", "cpu:1", "--launcher", "inline", "--budget", "4"]
    line += ["--set", "split.size=64", "--out", str(tmp_path / "run")]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        complaint = process.stderr.read()
    assert process.returncode == 0, complaint
    assert not complaint
    assert (tmp_path / "run" / "report.html").exists()
