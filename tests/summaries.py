"""Five synthetic runs whose summary.json is kept: a main run, a chapter, a duel, failures, and two hosts.

`python -m tests.summaries` keeps them as they are now: read the difference before you commit it.
"""

import json
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from harness.journal.plan import Case, Side
from harness.journal.run_directory import RunDir
from reports.analysis import summary
from tests import chapters, factories

KEPT = Path(__file__).parent / "unit" / "reports" / "summaries"
"""The documents."""
DIGITS = 9
"""Significant digits that two machines agree on."""
LONG = 8
"""Numbers in a row, of which more are kept as their count and their sum."""


def _watched(case: Case) -> tuple[tuple[float, ...], float] | None:
    """The second rank works 3 ms longer, and a transfer takes 2 ms."""
    share = factories.work_time(case) - 5e-3
    return tuple(share + 3e-3 * (rank == 1) for rank in range(case.world_size)), 2e-3


def _counted(case: Case, _launch: int, rank: int) -> dict[str, int | None]:
    return {"traffic_bytes": 4_000_000, "peak_bytes": 3 << 20, "held_bytes": (rank + 1) << 20}


def main(root: Path) -> RunDir:
    """Four counts of devices: rooflines, a projection, ranks over time, a clock that is held back."""
    return factories.build(
        root,
        world_sizes=(1, 2, 4, 8),
        rounds=4,
        roofs=True,
        moved=1e8,
        slow_ranks={3: 1.2},
        counted=lambda case, launch, rank: {"peak_bytes": 3 << 20, "watts": 50.0, "held_bytes": (rank + 1) << 20},
        clock=lambda place, count: (1400.0 + 300 * (place < count // 2), 0x4 * (place > count // 2)),
        wall_s=20.0,
    )


def chapter(root: Path) -> RunDir:
    """Exercises with crossings, foreign text, and a wrong case."""
    return chapters.many(root.parent / f"{root.name}-of")


def duel(root: Path) -> RunDir:
    """Two sides and a control, one of which is slower."""
    sides = (Side(name="a"), Side(name="b", variables={"X": "1"}), Side(name="a-again", control=True))
    return factories.build(root, sides=sides, pace={"b": 1.2}, launches=18, rounds=4)


def failures(root: Path) -> RunDir:
    """Every way to fail, in five of six launches."""
    states = ("wrong", "died", "hang", "oom", "error", "skipped", "missing")
    variants = ("whole", "pieces", *states[2:])
    outcomes: Mapping[tuple[int, str], tuple[str, int | None, str]] = {
        (place % 5, f"split[how={variant},size=1024]@{1 + place % 2}"): (state, place % 2, f"{state}: a message")
        for place, (variant, state) in enumerate(zip(variants, states, strict=True))
    }
    return factories.build(root, variants=variants, outcomes=outcomes, done=5, rounds=4)


def hosts(root: Path) -> RunDir:
    """Two hosts of two ranks, one of them set up otherwise, whose collectives were watched."""
    return factories.build(
        root,
        variants=("whole",),
        world_sizes=(1, 2, 4),
        rounds=4,
        host=lambda _, rank: "node-0" if rank < 2 else "node-1",
        hosts={"node-1": {"software": {"torch": "2.12.0"}}},
        watched=_watched,
        counted=_counted,
        own_clocks=lambda case: (factories.work_time(case), 0.6 * factories.work_time(case)),
        niceness=5,
    )


RUNS: Mapping[str, Callable[[Path], RunDir]] = {
    "main": main,
    "chapter": chapter,
    "duel": duel,
    "failures": failures,
    "hosts": hosts,
}


def rounded(value: Any) -> Any:
    """A document with numbers as two machines agree on them."""
    if isinstance(value, dict):
        return {name: rounded(each) for name, each in value.items()}
    if isinstance(value, list):
        if len(value) > LONG and all(isinstance(each, float) for each in value):
            return {"count": len(value), "sum": rounded(sum(value))}
        return [rounded(each) for each in value]
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value


def document(name: str, root: Path) -> Any:
    """The summary of one of the runs."""
    return rounded(json.loads(summary.summarise(RUNS[name](root / name)).to_json()))


def keep(name: str) -> None:
    """Keep the document of a run as it is now: a row a line, so that a difference can be read."""
    with tempfile.TemporaryDirectory() as folder:
        text = json.dumps(document(name, Path(folder)), ensure_ascii=False)
    lines = text.replace('}, {"', '},\n{"').replace('], "', '],\n"')
    (KEPT / f"{name}.json").write_text(f"{lines}\n", encoding="utf-8")


if __name__ == "__main__":
    for each in RUNS:
        keep(each)
