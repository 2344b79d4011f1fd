"""What a comparison of two runs says, as JSON has it: a row a case, what else differs, and the gate."""

from pydantic import ConfigDict, Field

from harness.journal.plan import Record, Value
from harness.planning.stopping_rule import CONFIDENCE
from reports.reading.run import State
from reports.schema.cases import InCycles, Verdict

TAIL = round((1 - CONFIDENCE) / 2, 9)
"""What an interval leaves out on each side, and so the level of a test on one side."""


SCHEMA = 1
"""Version of what ``compare --format json`` prints. 1: first release."""


class Difference(Record):
    """Something that is recorded of both runs, and not the same; it does not keep them from being compared."""

    name: str
    """E.g. ``software.torch``."""
    base: str
    new: str


class ChangeRow(Record):
    """One case of both runs. Times are seconds of one step; None where nothing can be said."""

    key: str
    """The case's key, e.g. ``split[how=whole]@2``."""
    scenario: str
    variant: str | None
    variant_field: str | None
    params: dict[str, Value]
    """Every field of the scenario but its variant."""
    world_size: int
    base_status: State
    new_status: State
    base_launches: int = 0
    """How many launches of BASE its time rests on."""
    new_launches: int = 0
    base_median_s: float | None = None
    new_median_s: float | None = None
    ratio: float | None = None
    """Time in NEW over time in BASE, the median quotient of their launches: above 1 it got slower."""
    ratio_low: float | None = None
    ratio_high: float | None = None
    in_cycles: InCycles | None = None
    """The same in clock cycles, where clocks are known."""
    p: float | None = None
    """Of such launches where it is slower by no more than the margin; one-sided."""
    p_holm: float | None = None
    """The same, corrected for all cases that were tested."""
    verdict: Verdict
    """By its own interval."""
    confirmed: bool = False
    """Slower, and still so after the correction: this fails the gate."""
    broken: bool = False
    """It had a time in BASE, and has none in NEW that may be shown, or failed there: this fails the gate too."""
    reason: str | None = None
    """Why there is no verdict, or what became of it."""
    margin: float
    """A difference begins beyond this fraction: the largest of the four below."""
    margin_asked: float
    """No difference is what lies within this fraction."""
    aa_base: float
    """A/A noise of its comparison in BASE."""
    aa_new: float
    machine: float | None = None
    """How far the probes beside it are apart in the two runs; counts only where the software is the same."""


class ProbeRow(Record):
    """A probe of the harness in both runs: the same work, so what tells them apart is the machine or the software."""

    probe: str
    scenario: str
    """The scenario that it was interleaved with."""
    params: dict[str, Value]
    world_size: int
    ratio: float
    ratio_low: float | None
    ratio_high: float | None


class RunSide(Record):
    """One of the two runs."""

    path: str
    """As it was given."""
    version: str
    side: str
    """Of the environments between which its launches alternated the one that is compared; most runs have one."""
    launches: int
    """Planned of that side, or more where more were added."""
    started: str | None
    """Wall-clock of its first launch, UTC."""
    fingerprint: str | None
    """Of its environment; several where launches differ."""


class Gate(Record):
    """Whether the gate could fail at all, told before it is looked at."""

    cases: int
    """How many are tested at once: Holm's correction is for so many."""
    level: float = TAIL
    """The chance of one false alarm or more among all of them that it stays below."""
    smallest_p: float | None
    """The smallest p that any case can reach with its launches; None without cases."""
    able: bool
    """Whether that is small enough for so many cases."""
    launches_needed: int = Field(ge=1)
    """The fewest launches of each run with which it would be."""


class Changes(Record):
    """NEW against BASE."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, allow_inf_nan=False)

    schema_version: int = Field(default=SCHEMA, alias="schema")
    headline: str
    """What came out, in one line."""
    regression: bool
    """A case is slower for certain, or broken."""
    undecided: bool
    """Some case of BASE is neither faster, slower for certain, nor without a difference; or the gate could not fail."""
    base: RunSide
    new: RunSide
    gate: Gate
    counts: dict[str, int]
    """Cases by what became of them."""
    cases: tuple[ChangeRow, ...]
    """All that both runs planned, in BASE's order."""
    probes: tuple[ProbeRow, ...]
    same_software: bool
    differences: tuple[Difference, ...]
    only_in_base: tuple[str, ...]
    """Keys of cases that NEW never planned: they cannot be compared."""
    only_in_new: tuple[str, ...]
    remarks: tuple[str, ...] = ()
    """What a reader has to bear in mind."""

    def to_json(self) -> str:
        """As text."""
        return self.model_dump_json(by_alias=True, indent=1) + "\n"
