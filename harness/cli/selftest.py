"""``rankbench selftest``: causes are planted, one after the other, and what the report says is held against them.

On emulated devices, whose times are exact: whoever sees that a report names what is known can believe it where nothing
is known. The same scenarios, ranks, launches, journal and analysis are used as for any run.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.common.packages import late
from harness.journal.measurement_warnings import Kind
from harness.journal.run_directory import RunDir
from harness.planning.builder import make
from harness.planning.request import RunRequest

DEVICES, SIZES, WIDEST = "emulated:2x2", "1,4", 4
LAUNCHES = 6
CAUSES = "scenarios.planted.causes"
SHARE = 0.03
"""A part of a step's time below this fraction is not called a cause."""
OVERFLOW = 256 * 2**20
"""Bytes of memory of each device."""


@dataclass(frozen=True)
class Cause:
    """What is planted, and what a report that is right says of it."""

    scenario: str
    """Its class."""
    words: str
    expected: frozenset[str]


def _cause(scenario: str, words: str, *expected: str) -> Cause:
    return Cause(scenario, words, frozenset(expected))


RUNS: Sequence[tuple[Sequence[str], Sequence[Cause]]] = (
    (
        (f"memory_bytes={OVERFLOW}",),
        (
            _cause("Healthy", "nothing"),
            _cause("SlowDevice", "rank 2's device is 20 % slow", "imbalance", "rank 2 is slow"),
            _cause("ExposedCommunication", "a large message is waited for", "communication"),
            _cause("HiddenCommunication", "the same message, hidden by compute"),
            _cause("Contention", "busy devices of a host slow each other", "contention"),
            _cause("UnevenSplit", "a rank has a quarter more to do", "uneven split"),
            _cause("LaunchBound", "launching takes longer than computing", "host-bound"),
            _cause("TooLarge", "a device's memory is too small", "out of memory"),
        ),
    ),
    (
        ("throttled_ranks.3={after_s=0.0, factor=1.25}",),
        (_cause("Healthy", "rank 3's clock is throttled", "imbalance", "rank 3 is slow", "throttled"),),
    ),
    (
        ("slow_links.1-2=20.0",),
        (_cause("ExposedCommunication", "the link between two hosts is slow", "communication"),),
    ),
)
"""What is planted in the devices of each run, and in its scenarios."""


def run(console: Console) -> bool:
    """Plant every cause and print what was said of it; tells whether all of it is right."""
    table = Table("planted", "the report says", "", box=None, pad_edge=False)
    right = True
    with TemporaryDirectory(prefix="rankbench-selftest-") as folder:
        for number, (emulate, causes) in enumerate(RUNS):
            summary = _report(Path(folder, str(number)), emulate, causes)
            for place, cause in enumerate(causes):
                said = frozenset(diagnosis(summary, place))
                ok = said == cause.expected
                right &= ok
                verdict = Text("right", "green") if ok else Text(f"wrong: expected {_words(cause.expected)}", "red")
                table.add_row(cause.words, _words(said), verdict)
    console.print(table)
    return right


def _report(root: Path, emulate: Sequence[str], causes: Sequence[Cause]) -> Any:
    """Measure the causes in one run, and return its summary."""
    request = RunRequest(
        names=[f"{CAUSES}:{cause.scenario}" for cause in causes],
        devices=DEVICES,
        emulate=emulate,
        world_sizes=SIZES,
        launches=LAUNCHES,
        command="rankbench selftest",
    )
    directory, plan = RunDir(root), make(request)
    directory.create(plan)
    late("launch.run:own")(directory, plan, Console(quiet=True))
    (reported,) = late("reports.cli:report")([root])
    return reported.summary


def diagnosis(summary: Any, comparison: int) -> Iterator[str]:
    """What a summary says is wrong with a comparison's case on the most devices, each in a word or two."""
    (cell,) = (row for row in summary.cells if row.comparison == comparison and row.world_size == WIDEST)
    if cell.status == "oom":
        yield "out of memory"
        return
    if cell.median_s is None:
        yield cell.status
        return
    if cell.host_bound:
        yield "host-bound"
        return
    if cell.ideal_speedup is not None and cell.ideal_speedup < (1 - SHARE) * WIDEST:
        yield "uneven split"
    if any(warning.kind == Kind.THROTTLED for warning in cell.warnings):
        yield "throttled"
    (loss,) = (row for row in summary.losses if row.comparison == comparison and row.world_size == WIDEST)
    for name in ("contention", "imbalance", "communication"):
        part = getattr(loss, name)
        if part is not None and part.sure and part.seconds > SHARE * loss.time_s:
            yield name
    if loss.slow_rank is not None:
        yield f"rank {loss.slow_rank} is slow"


def _words(found: frozenset[str]) -> str:
    return ", ".join(sorted(found)) or "nothing is wrong"
