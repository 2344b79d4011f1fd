"""Synthetic chapters: runs whose exercises are answered, with figures that are known beforehand."""

from __future__ import annotations

import math

from harness.journal.plan import Exercise
from reports.text import units
from tests import factories
from tests.factories import Synthetic

HOSTILE = "</td><script>alert(1)</script> <img src=x onerror=alert(2)> & 'q' \" $x_{$ `tick`"


def ask(*answers):
    return tuple(
        Exercise(number=f"5.{place + 1}", task="A task.", answer=answer) for place, answer in enumerate(answers)
    )


def spaced(text):
    return text.replace(units.THIN, " ").replace(units.TIMES, "x").replace(units.NONE, "-")


def exact(case):
    """Pieces take 1.5 times as long as the whole; four devices are twice as fast as one."""
    if case.probe:
        return factories.work_time(case)
    return (0.15 if case.variant == "pieces" else 0.1) / math.sqrt(1 if case.packed else case.world_size)


EXACT = {"truth": exact, "noise": 0.0, "launch_noise": 0.0}


def crossing_time(case):
    """Equal at a size of 100, above which pieces are ahead; two devices are ahead of one above 300."""
    if case.probe:
        return factories.work_time(case)
    one = (40e-6 if case.variant == "whole" else 20e-6) * case.params["size"] + (0 if case.variant == "whole" else 2e-3)
    return one if case.world_size == 1 or case.packed else one / 2 + 6e-3


SWEPT = EXACT | {"truth": crossing_time, "sizes": (64, 16, 1024, 256)}
CROSSING = "{pieces.crossover}; {whole@most.crossover}; {whole.time}; {whole.size}"


WRONG = {(2, "quick[how=pieces,size=1024]@2"): ("wrong", 1, HOSTILE)}


def counted(case, launch, rank):
    busy = case.variant == "pieces"
    return {
        "held_bytes": 40 * 2**20,
        "peak_bytes": 3 * 2**20 if busy else 0,
        "traffic_bytes": 2568 * (case.world_size - 1),
        "host_reads": busy * 7,
    }


def many(path):
    """Seven comparisons of four scenarios, and what their exercises need of a page."""
    swept = Synthetic(
        exercises=ask(CROSSING), truth=crossing_time, sizes=(64, 16, 256, 1024), command="rankbench run", rounds=4
    )
    hostile = (Exercise(number=f"5.9 {HOSTILE}", task=HOSTILE, answer=f"{HOSTILE.replace('{', '')} {{whole.word}}"),)
    others = [
        Synthetic(scenario="quick", exercises=ask("", "{pieces@most.versus}")[1:], outcomes=WRONG, rounds=4),
        Synthetic(scenario="count", exercises=hostile, found=lambda *_: {"word": HOSTILE}, counted=counted, rounds=4),
        Synthetic(scenario="plain", exercises=(), rounds=4),
    ]
    return factories.build(path / "run", swept, *others)
