"""gloo's event loops are put behind the threads that compute, and nothing else is."""

from __future__ import annotations

import os
from pathlib import Path

from harness.device import gloo_threads
from harness.gang import Gang
from tests.ranks import Ranks


def _policies(gang: Gang) -> tuple[set[int], set[int]]:
    loops = set(gloo_threads.threads((gloo_threads.LOOP,)))
    others = {int(task.name) for task in Path("/proc/self/task").iterdir()} - loops
    gloo_threads.to_background()
    gang.barrier()
    return {os.sched_getscheduler(each) for each in loops}, {os.sched_getscheduler(each) for each in others}


def test_the_loops_of_a_rank_are_in_the_batch_class_and_its_other_threads_are_not(two_ranks: Ranks) -> None:
    assert two_ranks.do(_policies) == [({os.SCHED_BATCH}, {os.SCHED_OTHER})] * 2


def test_communication_threads_are_told_from_the_one_that_computes(two_ranks: Ranks) -> None:
    for names, main in two_ranks.do(_names):
        assert gloo_threads.LOOP in names and "pt_gloo_runloop" in names
        assert main not in names


def _names(gang: Gang) -> tuple[set[str], str]:
    gang.barrier()
    comm = {Path(f"/proc/self/task/{thread}/comm").read_text().strip() for thread in gloo_threads.threads()}
    return comm, Path("/proc/self/comm").read_text().strip()
