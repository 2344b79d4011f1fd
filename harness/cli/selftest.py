"""``rankbench selftest``: causes are planted, one after the other, and what the report says is held against them.

On emulated devices, whose times are exact: a report that names what is known, with the planted seconds, can be believed
where nothing is known. Scenarios, ranks, launches, journal and analysis are those of any run.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from harness.common.packages import late
from harness.device.emulated.network import Network
from harness.journal.measurement_warnings import Kind
from harness.journal.run_directory import RunDir
from harness.planning.builder import make
from harness.planning.emulation import emulation
from harness.planning.request import RunRequest

DEVICES, SIZES, WIDEST = "emulated:2x2", "1,4", 4
LAUNCHES = 6
SCENARIOS = "scenarios.planted.causes"
PARTS = "contention", "imbalance", "communication"
SHARE = 0.03
"""A part of a step's time below this fraction is not called a cause."""
CLOSE = 0.001
"""Planted seconds and those of the report differ by less than this fraction."""
COMPUTE_S, MESSAGE = 10e-3, 8 * 2**20
"""What a step computes on each of the most devices, and the bytes of a large message."""


@dataclass(frozen=True)
class Cause:
    """What is planted, and what a report that is right says of it."""

    scenario: str
    """Its class."""
    words: str
    says: frozenset[str] = frozenset()
    seconds: Mapping[str, float] | None = field(default_factory=dict)
    """Seconds of a step above its ideal, by the part's name; None where chance decides."""
    because: str = ""
    """What is named as the cause of the greatest loss, and the rank that it befalls; empty for none."""


@dataclass(frozen=True)
class Verdict:
    """What a report said of a cause."""

    cause: Cause
    says: frozenset[str]
    seconds: Mapping[str, float]
    because: str

    @property
    def right(self) -> bool:
        """Whether it said what was planted, and nothing else."""
        planted = self.cause
        if (self.says, self.because) != (planted.says, planted.because):
            return False
        if planted.seconds is None:
            return True
        known = self.seconds
        return known.keys() == planted.seconds.keys() and all(
            abs(known[name] - seconds) < CLOSE * seconds for name, seconds in planted.seconds.items()
        )

    @property
    def words(self) -> str:
        """A line for people."""
        planted = _words(self.cause.says, self.cause.seconds or {}, self.cause.because)
        verdict = "right" if self.right else f"WRONG: planted {planted}"
        return f"{self.cause.words}: {_words(self.says, self.seconds, self.because)} ({verdict})"


def _message_s(setting: str = "") -> float:
    """What the large message takes between all devices, where ``setting`` is planted."""
    planted = emulation(DEVICES, [setting] if setting else [])
    assert planted is not None
    return Network(planted).all_reduce_s(range(WIDEST), MESSAGE)


SLOW_LINK = "slow_links.1-2=20.0"
RUNS: Mapping[str, Sequence[Cause]] = {
    f"memory_bytes={256 * 2**20}": (
        Cause("Healthy", "nothing is planted"),
        Cause(
            "SlowDevice",
            "rank 2's device takes a fifth longer",
            frozenset({"rank 2 is slow"}),
            {"imbalance": COMPUTE_S / 5},
            "slow rank 2",
        ),
        Cause(
            "ExposedCommunication",
            "ranks wait for a large message",
            seconds={"communication": _message_s()},
            because="one message",
        ),
        Cause("HiddenCommunication", "they compute meanwhile"),
        Cause(
            "Contention",
            "two busy devices of a host slow each other",
            seconds={"contention": COMPUTE_S / 10},
            because="contention",
        ),
        Cause(
            "UnevenSplit",
            "a rank has a quarter more to do than its share",
            frozenset({"at best 3.20×"}),
            because="uneven shares 0",
        ),
        Cause("LaunchBound", "launching takes longer than computing", frozenset({"host-bound"}), because="launching"),
        Cause("SlowLoader", "loading takes longer than computing", frozenset({"host-bound"}), because="launching"),
        Cause("TooLarge", "a message is larger than a device's memory", frozenset({"out of memory"})),
    ),
    "throttled_ranks.3={after_s=0.0, factor=1.25}": (
        Cause(
            "Healthy",
            "rank 3's clock is throttled by a quarter",
            frozenset({"rank 3 is slow", "throttled"}),
            {"imbalance": COMPUTE_S / 4},
            "throttled 3",
        ),
    ),
    "late_ranks.1=1e-3": (Cause("Healthy", "rank 1 starts a millisecond late", because="late start 1"),),
    "stalls={share=0.05, seconds=0.02}": (
        Cause("Healthy", "a host stalls now and then", seconds=None, because="pauses"),
    ),
    "noise={device=0.03, launch=0.01, sample=0.02}": (
        Cause("Healthy", "devices, launches and samples differ by chance", seconds=None),
    ),
    SLOW_LINK: (
        Cause(
            "ExposedCommunication",
            "a link is slow",
            seconds={"communication": _message_s(SLOW_LINK)},
            because="communication",
        ),
    ),
}
"""What is planted in the devices of each run, and what in its scenarios."""


def run(root: Path, console: Console) -> bool:
    """Measure every cause below ``root``, and print what was said of it; tells whether all of it is right."""
    right = True
    for number, setting in enumerate(RUNS):
        _measure(root / str(number), setting)
        for verdict in judge(root / str(number), RUNS[setting]):
            console.print(verdict.words, style="" if verdict.right else "red", highlight=False, soft_wrap=True)
            right &= verdict.right
    return right


def _measure(root: Path, setting: str) -> None:
    request = RunRequest(
        names=[f"{SCENARIOS}:{cause.scenario}" for cause in RUNS[setting]],
        devices=DEVICES,
        emulate=(setting,),
        world_sizes=SIZES,
        launches=LAUNCHES,
        command=f"rankbench run --devices {DEVICES} --emulate '{setting}'",
    )
    directory, plan = RunDir(root), make(request)
    directory.create(plan)
    late("launch.run:own")(directory, plan, Console(quiet=True))
    list(late("reports.cli:report")([root]))


def judge(root: Path, causes: Sequence[Cause]) -> list[Verdict]:
    """What the report of a run says of the causes that were planted in its comparisons, in order."""
    summary = late("reports.analysis.summary:summarise")(RunDir(root))
    return [
        Verdict(cause, frozenset(_says(summary, place)), dict(_seconds(summary, place)), _because(summary, place))
        for place, cause in enumerate(causes)
    ]


def _says(summary: Any, comparison: int) -> Iterator[str]:
    """What a summary says of a comparison's case on the most devices."""
    cell = _widest(summary.cells, comparison)
    if cell.median_s is None:
        yield {"oom": "out of memory"}.get(cell.status, cell.status)
        return
    if cell.host_bound:
        yield "host-bound"
    if cell.ideal_speedup is not None and cell.ideal_speedup < (1 - SHARE) * WIDEST:
        yield f"at best {cell.ideal_speedup:.2f}×"
    yield from {Kind.THROTTLED.value for warning in cell.warnings if warning.kind == Kind.THROTTLED}
    loss = _widest(summary.losses, comparison)
    if loss.slow_rank is not None:
        yield f"rank {loss.slow_rank} is slow"


def _because(summary: Any, comparison: int) -> str:
    """The cause of the greatest loss of a comparison's case on the most devices, and its ranks."""
    rows = [row for row in summary.causes if row.comparison == comparison and row.world_size == WIDEST]
    return " ".join(map(str, (rows[0].cause, *rows[0].ranks))) if rows else ""


def _seconds(summary: Any, comparison: int) -> Iterator[tuple[str, float]]:
    """The parts that a summary is sure of, and that matter: names, and seconds of a step."""
    if _widest(summary.cells, comparison).median_s is None:
        return
    loss = _widest(summary.losses, comparison)
    for name in PARTS:
        part = getattr(loss, name)
        if part is not None and part.sure and part.seconds > SHARE * loss.time_s:
            yield name, part.seconds


def _widest(rows: Sequence[Any], comparison: int) -> Any:
    (row,) = (row for row in rows if row.comparison == comparison and row.world_size == WIDEST)
    return row


def _words(says: frozenset[str], seconds: Mapping[str, float], because: str) -> str:
    parts = [f"{name} {1e3 * value:.3f} ms" for name, value in seconds.items()]
    above_all = [f"above all {because}"] if because else []
    return ", ".join([*sorted(says), *parts, *above_all]) or "nothing is wrong"
