"""What a run directory holds, read once: the plan, who ran it, and the last word on every planned cell."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate, groupby
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError
from pydantic_core import from_json, to_json

from harness.common.errors import JournalError
from harness.journal import log
from harness.journal.plan import Case, Comparison, Plan, Record, Side
from harness.journal.records import CellRecord, LaunchRecord, ProfileRecord, Status
from harness.journal.run_directory import RunDir, content
from reports.reading.samples import CaseSamples, parse
from reports.reading.script import with_scaling
from reports.text import units

Spread = tuple[int, ...]
"""How many ranks each host has, in the order of ranks: ``(8, 8)``."""


class Layout(Record):
    """Where the ranks of some launches were."""

    hosts: tuple[str, ...]
    """In the order of ranks."""
    ranks_per_host: Spread
    launches: tuple[int, ...]
    """Those that had a gang laid out so."""


def layouts(gangs: Iterable[LaunchRecord]) -> tuple[Layout, ...]:
    """Every layout once, the first gang's first."""
    by_spread: dict[tuple[tuple[str, ...], Spread], dict[int, None]] = {}
    for gang in gangs:
        alike = [(host, len(tuple(members))) for host, members in groupby(gang.ranks, key=lambda rank: rank.host)]
        hosts, spread = tuple(host for host, _ in alike), tuple(ranks for _, ranks in alike)
        by_spread.setdefault((hosts, spread), {})[gang.launch] = None
    return tuple(
        Layout(hosts=hosts, ranks_per_host=spread, launches=tuple(launches))
        for (hosts, spread), launches in by_spread.items()
    )


def head(spread: Spread, ranks: int) -> Spread:
    """Where the first so many ranks are: ``(8, 4)`` for 12 of ``(8, 8)``."""
    before = accumulate(spread, initial=0)
    return tuple(min(count, ranks - used) for count, used in zip(spread, before, strict=False) if used < ranks)


def words(spread: Sequence[int]) -> str:
    """E.g. ``2 hosts of 8 ranks``, or ``1 host of 8 ranks and 1 host of 4 ranks``."""
    alike = [(ranks, len(tuple(hosts))) for ranks, hosts in groupby(spread)]
    return units.listed([f"{units.count(hosts, 'host')} of {units.count(ranks, 'rank')}" for ranks, hosts in alike])


Facts = dict[str, JsonValue]


class Machine(BaseModel):
    """The parts. A part may be missing, and there is no other."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    host: Facts = Field(default_factory=dict)
    devices: tuple[Facts, ...] = ()
    software: Facts = Field(default_factory=dict)
    variables: dict[str, str] = Field(default_factory=dict)
    git: Facts | None = None
    links: JsonValue = None
    gpus_now: Facts = Field(default_factory=dict)
    load_average: tuple[float, ...] = ()
    hash: str = ""
    hosts: dict[str, JsonValue] = Field(default_factory=dict)
    """What each other host of the last gang has otherwise, or that it is alike."""
    sides: dict[str, Facts] = Field(default_factory=dict)
    """What each other side has otherwise."""


def environment(run: RunDir) -> dict[str, Any] | None:
    """What environment.json says, as it says it; None where there is none. Raises JournalError where it is none."""
    if not run.environment_path.is_file():
        return None
    try:
        plain = from_json(content(run.environment_path), allow_inf_nan=False)  # inside of facts too
        machine = Machine.model_validate_json(to_json(plain), strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        raise JournalError(f"{run.environment_path}: {first['msg']} at {first['loc']}; remove it") from None
    except ValueError as error:
        raise JournalError(f"{run.environment_path}: {error}; remove it") from None
    return machine.model_dump(mode="json", exclude_unset=True)


State = Status | Literal["missing"]
"""What became of a planned cell, as reports tell it: a status of the journal, or none was ever written."""

WORST_FIRST: tuple[State, ...] = ("wrong", "died", "hang", "oom", "error", "unchecked", "skipped", "missing", "ok")
"""Of several launches' states, the first of these stands for the case."""

FAILED: tuple[State, ...] = ("wrong", "died", "hang", "oom", "error")
"""A case that is so in any launch is not comparable, answers nothing, and passes no gate."""

OUTCOMES: dict[State, str] = {
    "wrong": "is wrong",
    "died": "died",
    "hang": "hung",
    "oom": "ran out of memory",
    "error": "failed",
    "skipped": "was skipped",
    "missing": "was not measured",
}
"""What became of a case that has no figures."""

CaseId = tuple[int, str]
"""Index of the comparison, and the case's key: a case of a run."""


def _place(gang: LaunchRecord, rank: int) -> str:
    hosts = [placed.host for placed in gang.ranks]
    device = gang.ranks[rank].device
    if len(set(hosts)) == 1:
        return device
    return f"{hosts[rank]}, {device.partition(':')[0]}:{hosts[:rank].count(hosts[rank])}"


@dataclass(frozen=True)
class Cell:
    """A planned case in one launch, and its last record, if it has any."""

    launch: int
    comparison: int
    case: Case
    record: CellRecord | None
    """Without its samples."""
    samples: CaseSamples | None
    """Its samples, where it has any."""

    @property
    def state(self) -> State:
        """What became of it."""
        return "missing" if self.record is None else self.record.status


@dataclass(frozen=True)
class Evidence:
    """Everything that a report may be built from."""

    plan: Plan
    launched: dict[int, LaunchRecord]
    """The gang that stands for each launch: the last that has samples, else the last that was up."""
    records: dict[tuple[int, int, str], CellRecord]
    """By launch, comparison and case, without their samples: of several records the last one holds."""
    samples: dict[tuple[int, int, str], CaseSamples]
    """Their samples."""
    taken_by: dict[tuple[int, int, str], LaunchRecord]
    """The gang whose samples they are."""
    environment: dict[str, Any] | None
    """What environment.json says."""
    side: Side
    """Whose launches are asked about; those of a run's other sides are left out, but for ``all_cells``."""
    all_gangs: tuple[LaunchRecord, ...]
    """Every gang that was up, of every side; of a renewed launch all."""
    wall_s: dict[int, float]
    """From the order to launch until its last process had ended, by launch; of a renewed one all gangs together."""
    profiles: dict[CaseId, ProfileRecord]
    """Of the cases that were traced, or should have been."""

    def of(self, side: Side) -> Self:
        """The same run, as another side saw it."""
        return replace(self, side=side)

    @cached_property
    def launches(self) -> int:
        """How many launches all sides together should have: the plan's, or more where more were added."""
        seen = [*self.launched, *(launch for launch, _, _ in self.records)]
        return max([self.plan.launches, *(launch + 1 for launch in seen)])

    @cached_property
    def gangs(self) -> dict[int, LaunchRecord]:
        """The gang that stands for each of the side's launches."""
        mine = (launch for launch in sorted(self.launched) if self.plan.side_of(launch) == self.side)
        return {launch: self.launched[launch] for launch in mine}

    def place(self, rank: int) -> str:
        """Where a rank is: its device, and before it its host where there are several.

        Devices are numbered as on their host, and by the plan where launches put the rank on different hosts.
        """
        places = {_place(gang, rank) for gang in self.gangs.values() if rank < len(gang.ranks)}
        return places.pop() if len(places) == 1 else self.plan.devices[rank]

    @cached_property
    def clock_errors_s(self) -> dict[int, float]:
        """By how much each rank's clock may have been off rank 0's, at most: as ranks met, and in any of its cells."""
        met = [(rank.rank, rank.clock_error_s) for gang in self.gangs.values() for rank in gang.ranks]
        records = [cell.record for cell in self.cells if cell.record]
        timed = [pair for record in records for pair in enumerate(record.clock_error_s or ())]
        errors_s: dict[int, float] = {}
        for rank, error_s in (*met, *timed):
            errors_s[rank] = max(errors_s.get(rank, 0.0), error_s)
        return errors_s

    @cached_property
    def layouts(self) -> tuple[Layout, ...]:
        """How the ranks of the side's gangs were spread over hosts, each way once; the first gang's first.

        Of the gangs that have samples: figures rest on no others. Where there are no samples, of all. A script's gangs
        have as many ranks as the case needs: those that have most stand for all.
        """
        mine = [gang for gang in self.all_gangs if self.plan.side_of(gang.launch) == self.side]
        measured = {id(gang) for gang in self.taken_by.values()}
        chosen = [gang for gang in mine if id(gang) in measured] or mine
        most = max((len(gang.ranks) for gang in chosen), default=0)
        return layouts([gang for gang in chosen if len(gang.ranks) == most])

    def spreads(self, case: CaseId, size: int) -> set[Spread]:
        """How the first ``size`` ranks were spread over hosts: in launches with samples of a case, else in any."""
        places = [(cell.launch, *case) for cell in self.by_case[case]]
        gangs = [self.taken_by[place] for place in places if place in self.taken_by]
        return {head(layout.ranks_per_host, size) for layout in (layouts(gangs) if gangs else self.layouts)}

    @cached_property
    def strange_hosts(self) -> dict[str, dict[str, str]]:
        """What hosts of the side have otherwise than rank 0's in any launch, by host and dotted name."""
        hosts = (
            (host, differing) for gang in self.gangs.values() for host, differing in gang.hosts.items() if differing
        )
        return {
            host: {name: ABSENT if value == units.NOT_KNOWN else value for name, value in units.flat(differing)}
            for host, differing in hosts
        }

    @cached_property
    def all_cells(self) -> tuple[Cell, ...]:
        """Every planned cell of every side, launch by launch, in the order of the plan."""
        return tuple(
            Cell(launch, index, case, self.records.get((launch, index, key)), self.samples.get((launch, index, key)))
            for launch, index, case in self.plan.cells(self.launches)
            for key in (case.key,)
        )

    @cached_property
    def cells(self) -> tuple[Cell, ...]:
        """Those of the side's launches."""
        mine = {launch for launch in range(self.launches) if self.plan.side_of(launch) == self.side}
        return tuple(cell for cell in self.all_cells if cell.launch in mine)

    @cached_property
    def by_case(self) -> dict[CaseId, list[Cell]]:
        """The cells of each case, a launch each."""
        cells: dict[CaseId, list[Cell]] = {}
        for cell in self.cells:
            cells.setdefault((cell.comparison, cell.case.key), []).append(cell)
        return cells

    def state(self, case: CaseId) -> State:
        """The worst state of a case over its launches."""
        return min((cell.state for cell in self.by_case[case]), key=WORST_FIRST.index)

    def has_times(self, case: CaseId) -> bool:
        """Whether a case may show times: never where any launch found its output wrong."""
        return self.state(case) != "wrong"

    def cases(self) -> Iterator[tuple[CaseId, Comparison, Case]]:
        """Every planned case once, with its comparison."""
        for index, comparison in enumerate(self.plan.comparisons):
            for case in comparison.cases:
                yield (index, case.key), comparison, case


def load(run: RunDir) -> Evidence:
    """Read a run directory. Raises UsageError or JournalError where it cannot be read as one."""
    gangs: list[LaunchRecord] = []
    records: dict[tuple[int, int, str], CellRecord] = {}
    samples: dict[tuple[int, int, str], CaseSamples] = {}
    taken_by: dict[tuple[int, int, str], LaunchRecord] = {}
    up: dict[int, LaunchRecord] = {}
    wall_s: dict[int, float] = {}
    profiles: dict[CaseId, ProfileRecord] = {}
    plan = run.plan()
    for entry, readings in log.read_by(parse, run.journal_path):
        if entry.type != "profile" and not plan.holds(entry.launch):
            raise JournalError(f"{run.journal_path}: launch {entry.launch} is beyond any that the plan may have")
        if entry.type == "launch":
            gangs.append(entry)
            up[entry.launch] = entry
        elif entry.type == "cell":
            place = entry.launch, entry.comparison, entry.case
            records[place] = entry
            samples.pop(place, None)
            taken_by.pop(place, None)
            if readings is not None and readings.count:
                _of_every_rank(plan, entry, readings, run)
                samples[place] = readings
                if entry.launch in up:
                    taken_by[place] = up[entry.launch]
        elif entry.type == "end":
            wall_s[entry.launch] = wall_s.get(entry.launch, 0.0) + entry.wall_s
        elif entry.type == "profile":
            profiles[entry.comparison, entry.case] = entry
    plan = with_scaling(plan, records)
    launched = up | {gang.launch: gang for gang in taken_by.values()}  # the last sample's is the last gang's
    facts, first = environment(run), plan.sides[0]
    return Evidence(plan, launched, records, samples, taken_by, facts, first, tuple(gangs), wall_s, profiles)


def _of_every_rank(plan: Plan, cell: CellRecord, samples: CaseSamples, run: RunDir) -> None:
    """Raise JournalError where samples are not of as many ranks as their case has."""
    cases = plan.comparisons[cell.comparison].cases if 0 <= cell.comparison < len(plan.comparisons) else ()
    for case in cases:
        if case.key == cell.case and len(samples.start_s) != case.world_size:
            ranks = f"samples of {len(samples.start_s)} ranks, and not of {case.world_size}"
            raise JournalError(f"{run.journal_path}: {cell.case} has in launch {cell.launch} {ranks}")


ABSENT = "not there"
"""What one host says of a fact that only another has."""


FEWEST_BEYOND = 2
"""Counts that must span hosts before anything is said of other counts that do."""


@dataclass(frozen=True)
class Topology:
    """What is known of where the ranks of a run were."""

    hosts: tuple[str, ...]
    """Host of each rank."""
    room: int | None
    """Devices of one host, where the run's environment tells."""

    @classmethod
    def of(cls, evidence: Evidence) -> Self:
        """From the side's last launch that tells, and the environment."""
        gangs = list(evidence.gangs.values())
        hosts = tuple(rank.host for rank in sorted(gangs[-1].ranks, key=lambda placed: placed.rank)) if gangs else ()
        host = (evidence.environment or {}).get("host")
        facts = host if isinstance(host, dict) else {}
        if evidence.plan.emulation:
            return cls(hosts, evidence.plan.emulation.devices_per_host)
        cpu = evidence.plan.devices[0].startswith("cpu")
        room = facts.get("cores") if cpu else facts.get("gpus") or None  # a host without GPUs is not the ranks'
        return cls(hosts, room // (evidence.plan.threads if cpu else 1) if isinstance(room, int) else None)

    def spans(self, count: int) -> bool:
        """Whether the first so many ranks were on several hosts."""
        return len(set(self.hosts[:count])) > 1

    def refusal(self, counts: Sequence[int], target: int) -> str | None:
        """Why nothing can be said of ``target`` devices from these counts, as a clause; None where something can."""
        beyond = [count for count in counts if self.spans(count)]
        if len(beyond) >= FEWEST_BEYOND:
            return None
        if beyond:
            return f"they would span hosts, as only {beyond[0]} of the measured counts did"
        inside = self.room if self.room is not None else len(self.hosts) or max(counts)
        if target <= inside:
            return None
        known = f"this host has {inside}" if self.room is not None else f"no more than {inside} are known on this host"
        return f"{known}, and how devices of several hosts are joined was not measured"
