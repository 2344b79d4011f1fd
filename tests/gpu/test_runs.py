"""Whole runs on a real GPU: what is recorded, what fails, and the other regimes."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
import torch

from harness.journal.records import CellRecord, ProfileRecord
from tests.distributed.conftest import Run, rankbench

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
PLUGINS = Path(__file__).with_name("plugins.py")
SMALL = ("--set", "split.size=2048", "--launches", 1)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """One launch with two failures of the GPU in its middle, and profiles of what is ok."""
    root = tmp_path_factory.mktemp("gpu") / "run"
    names = (f"{PLUGINS}:Asserts", f"{PLUGINS}:Greedy", "split")
    return rankbench("run", *names, "--devices", "cuda:0", *SMALL, "--profile", "--out", root, root=root)


def of(run: Run, name: str) -> list[CellRecord]:
    return [cell for cell in run.cells if cell.case.startswith(name)]


def test_after_an_error_of_the_gpu_the_processes_are_renewed_and_the_rest_is_measured(run: Run) -> None:
    assert run.code == 1
    (asserts,), (greedy,) = of(run, "asserts"), of(run, "greedy")
    assert asserts.status == "error" and "CUDA error" in str(asserts.message)
    assert greedy.status == "oom"
    assert {cell.status for cell in of(run, "split")} == {"ok"}
    attempts = [launch.attempt for launch in run.launches]
    assert attempts == sorted(set(attempts)) and len(attempts) >= 3
    assert len({launch.ranks[0].pid for launch in run.launches}) == len(attempts)


def test_samples_have_their_clock_and_cases_their_power_and_memory(run: Run) -> None:
    for cell in of(run, "split"):
        assert cell.samples is not None and cell.samples.device_s is not None
        assert cell.samples.clock_mhz is not None and min(map(min, cell.samples.clock_mhz)) > 100
        assert cell.facts[0].held_bytes and cell.facts[0].peak_bytes and cell.facts[0].reserved_bytes
    assert all(launch.ranks[0].least_s for launch in run.launches)


def test_both_clocks_tell_who_sets_the_time(run: Run) -> None:
    """Large products, launched one by one, take the GPU longer than the host; so no case is bound by the host."""
    for row in (row for row in run.summary["cells"] if row["scenario"] == "split"):
        assert 0 < row["enqueue_s"] < row["device_s"] <= 1.05 * row["median_s"]
        assert "host-bound" not in {warning["kind"] for warning in row["warnings"]}


def test_no_product_is_faster_than_the_roof_of_the_same_run(run: Run) -> None:
    rows = [row for row in run.summary["cells"] if row["scenario"] == "split"]
    assert all(row["rate"] <= 1.05 * row["roof"] for row in rows)
    assert not [warning for row in rows for warning in row["warnings"] if warning["kind"] == "above-ceiling"]


def test_a_profile_has_the_kernels_of_each_step(run: Run) -> None:
    told = [entry for entry in run.entries if isinstance(entry, ProfileRecord)]
    assert {record.case for record in told} == {cell.case for cell in of(run, "split")}
    for record in told:
        (name,) = record.files
        trace = json.loads(gzip.decompress((run.root / "profiles" / name).read_bytes()))["traceEvents"]
        assert sum(event.get("cat") == "kernel" for event in trace) >= record.steps


@pytest.mark.parametrize("regime", [("--cache", "cold"), ("--execution", "graph")])
def test_what_the_other_regimes_cannot_measure_is_skipped_with_a_reason(tmp_path: Path, regime: tuple[str]) -> None:
    root = tmp_path / "run"
    names = ("split", "frobenius", f"{PLUGINS}:Small", "--preset", "smoke")
    run = rankbench("run", *names, *SMALL, *regime, "--devices", "cuda:0", "--out", root, root=root)
    assert {cell.status for cell in of(run, "split") + of(run, "small")} == {"ok"}
    assert all(cell.status == "ok" or (cell.status == "skipped" and cell.message) for cell in run.cells)
    if "graph" in regime:
        assert {cell.status for cell in of(run, "frobenius[log=each")} == {"skipped"}


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
def test_two_gpus_talk_nccl_whose_set_up_is_timed_apart(tmp_path: Path) -> None:
    root = tmp_path / "run"
    run = rankbench("run", "split", "--devices", "cuda:0,1", *SMALL, "--profile", "--out", root, root=root)
    assert run.code == 0, run.out
    (group,) = run.launches[0].groups
    assert group.size == 2 and group.setup_s > 0 and group.first_s > 0 and group.steady_s > 0
    assert {rank.device for rank in run.launches[0].ranks} == {"cuda:0", "cuda:1"}
    assert all(row["speedup"] for row in run.summary["cells"] if row["world_size"] == 2)


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
def test_a_rank_that_fails_is_told_although_its_peer_waits_for_it_in_nccl(tmp_path: Path) -> None:
    root = tmp_path / "run"
    run = rankbench("run", f"{PLUGINS}:Strays", "split", "--devices", "cuda:0,1", *SMALL, "--out", root, root=root)
    told = {cell.case: cell for cell in run.cells}
    assert (told["strays@2"].status, told["strays@2"].rank) == ("error", 1)
    assert told["strays@2"].message == "ValueError: the twelfth step"
    assert {cell.status for cell in of(run, "split")} == {"ok"}
