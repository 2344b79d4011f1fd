"""What a sample costs beyond its step: inside the marks, and around them for one rank alone and for two.

python benchmarks/sample_overhead.py
"""

from __future__ import annotations

from itertools import pairwise

from two_ranks import HEADING, joined, relaunch, row

from harness.device.timing import RankSample, Timer, now
from harness.journal.plan import Case
from harness.measure.timing_loop import sample
from harness.scenario import Work, Workload
from harness.world.world import World

SAMPLES = 2000
WARM = 100


NOTHING = Workload(lambda: None, check=lambda _: None, work=Work())


def laps(here: World, case: Case) -> list[RankSample]:
    """Many samples of a null step in a row, after some that do not count."""
    line, watch = here.line(case), Timer(here.device)
    return [sample(NOTHING, 1, here.device, line, watch)[0] for _ in range(WARM + SAMPLES)][WARM:]


def agreements(here: World, among: int) -> list[float]:
    """The alignment's one exchange of messages, alone."""
    took = []
    for _ in range(SAMPLES):
        start_s = now()
        here.latest(start_s, among)
        took.append(now() - start_s)
    return took


def main() -> None:
    with joined() as (here, cases):
        rows = []
        for size, case in cases.items():
            here.control.settle(None)
            if here.rank >= size:
                continue
            taken = laps(here, case)
            whole = [later.start_s - earlier.start_s for earlier, later in pairwise(taken)]
            rest = [period - lap.seconds for period, lap in zip(whole, taken, strict=False)]
            ranks = f"{size} rank{'s' * (size > 1)}"
            rows += [
                row(f"{ranks}: inside the marks", [lap.seconds for lap in taken]),
                row(f"{ranks}: around the marks", rest),
                row(f"{ranks}: of that, one agreement", agreements(here, size)),
            ]
            mean_s = (taken[-1].start_s - taken[0].start_s) / (SAMPLES - 1)
            rows.append(f"{ranks}: mean of a whole null sample            {1e6 * mean_s:>10.2f}")
        if here.rank == 0:
            print(f"lead {1e6 * here.lead_s:.0f} µs, {SAMPLES} samples\n{HEADING}", *rows, sep="\n")


if __name__ == "__main__":
    relaunch()
    main()
