"""A step by the host's and by the device's own clock: who sets the time is said wherever the time is shown."""

import pytest
from pydantic import ValidationError
from rich.console import Console

from harness.journal.measurement_warnings import Kind
from harness.journal.records import QueuedSamples
from reports.analysis import summary
from reports.formats import terminal
from tests import factories

QUIET = {"noise": 0.002, "launch_noise": 0.002, "variants": ("whole",), "device_events": True}


def launching(case):
    """Alone the device takes longer than its host; on two devices its share is less, and launching is what it was."""
    return 0.030, 0.040 / case.world_size


def undivided(case):
    return factories.work_time(case) if case.probe else 0.04


def found(path, **changes):
    return summary.summarise(factories.build(path / "run", **(QUIET | changes)))


def facts(row):
    return {caution.kind: caution for caution in row.warnings}


def test_a_step_whose_launching_takes_longer_than_its_device_is_bound_by_the_host(tmp_path):
    alone, pair = found(tmp_path, own_clocks=launching).cells
    assert (alone.host_bound, pair.host_bound) == (False, True)
    assert pair.enqueue_s == pytest.approx(0.030, rel=0.01) and pair.device_s == pytest.approx(0.020, rel=0.01)
    assert Kind.HOST_BOUND not in facts(alone)
    caution = facts(pair)[Kind.HOST_BOUND]
    assert (
        caution.fact.startswith("the host takes 30")
        and "to launch a step, whose work takes the device 20" in caution.fact
    )
    assert "CUDA graphs" in caution.remedy and "torch.compile" in caution.remedy and "batch" in caution.remedy


def test_the_time_stays_the_one_as_launched(tmp_path):
    plain, both = (
        found(tmp_path / name, own_clocks=clocks) for name, clocks in (("a", lambda _: None), ("b", launching))
    )
    assert [row.median_s for row in both.cells] == pytest.approx([row.median_s for row in plain.cells], rel=0.01)
    assert all(row.enqueue_s is None and row.device_s is None and not row.host_bound for row in plain.cells)


def test_who_is_bound_by_the_host_is_said_in_the_table_and_in_a_sentence(tmp_path):
    told = found(tmp_path, own_clocks=launching)
    console = Console(width=160, record=True, file=None, quiet=False)
    with console.capture() as capture:
        terminal.show(told, console)
    text = " ".join(capture.get().split())
    assert f"host-bound: {Kind.HOST_BOUND.remedy}" in text
    (claim,) = [claim.text for claim in told.claims if claim.text.startswith("The host, and not the device")]
    assert "sets the time of 1 of 2 cases" in claim and "CUDA graphs" in claim
    assert claim.replace("`", "") in text.replace("`", "")


def test_the_split_says_that_launching_is_not_divided(tmp_path):
    (loss,) = found(tmp_path, own_clocks=launching, truth=undivided).losses
    assert "launching is not divided among devices, and stands in other" in loss.text
    (other,) = found(tmp_path / "other", truth=undivided).losses
    assert "launching" not in other.text


def test_a_step_that_gives_the_device_nothing_to_do_has_no_time_of_the_device(tmp_path):
    rows = found(tmp_path, own_clocks=lambda _: (0.03, 1e-6), least=1e-6).cells
    assert all(row.enqueue_s and row.device_s is None and not row.host_bound for row in rows)


def test_a_case_that_is_wrong_anywhere_has_no_clocks(tmp_path):
    wrong = {(2, "split[how=whole,size=1024]@2"): ("wrong", 0, "no")}
    rows = {row.world_size: row for row in found(tmp_path, own_clocks=launching, outcomes=wrong).cells}
    assert rows[2].status == "wrong" and rows[2].enqueue_s is rows[2].device_s is None


@pytest.mark.parametrize("lists", [([], []), ([[1.0]], [[1.0, 2.0]]), ([[]], [[]]), ([[1.0]], [[-1.0]]), ([[1.0]], [])])
def test_lists_that_are_no_durations_of_ranks_are_refused(lists):
    host, device = (tuple(map(tuple, each)) for each in lists)
    with pytest.raises(ValidationError):
        QueuedSamples(inner=1, head_start_s=0.0, enqueue_s=host, device_s=device)
