"""The cell of a script's case in the journal, from the notes of its ranks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.device.telemetry.cpu_load import CpuTime, warnings_of
from harness.journal.plan import Case, Value
from harness.journal.protocol import ScriptNote, VisitNote
from harness.journal.records import BeginRecord, CellRecord, Samples, Status
from launch.launcher import Ending

FEWEST = 3
"""Steps that must be timed on each rank for a cell to have times."""
OUT_OF_MEMORY = ("OutOfMemoryError", "MemoryError", "can't allocate memory")
NOT_COMPARED = {
    "sharded": "not compared: parameters are sharded",
    "none": "not compared: no parameters were seen",
    "plain": "different, but no DistributedDataParallel module has them",
}
"""The word for parameters that need not be equal on all ranks."""


@dataclass(frozen=True)
class Turn:
    """One start of a script: a case of a launch."""

    launch: int
    comparison: int
    case: Case
    place: int
    """Its place among the cases of its launch, in their random order."""

    def begun(self) -> BeginRecord:
        """The record that begins the case in the journal."""
        return BeginRecord(launch=self.launch, comparison=self.comparison, case=self.case.key)

    def visit(self) -> VisitNote:
        """The note for the progress."""
        return VisitNote(comparison=self.comparison, case=self.case.key, round=0, rounds=0)

    def failed(self, ending: Ending) -> CellRecord:
        """The cell of this case if it was not measured."""
        return CellRecord(
            launch=self.launch,
            comparison=self.comparison,
            case=self.case.key,
            status=ending.status,
            rank=ending.rank,
            message=ending.message,
            outcomes=ending.outcomes,
        )


def judged(notes: Mapping[int, ScriptNote], size: int, ending: Ending | None) -> Ending | None:
    """What is wrong with a script on ``size`` ranks, or how it ended before all had told; None where it is measured."""
    if len(notes) < size:
        missing = next(rank for rank in range(size) if rank not in notes)
        return _cause(ending) if ending else Ending("error", f"rank {missing} told of no step", missing)
    counts = [len(notes[rank].start_s) for rank in range(size)]
    short = counts.index(min(counts))
    if counts[short] < FEWEST:
        return _too_short(notes[short])
    if len(set(counts)) > 1:
        per_rank = ", ".join(f"{count} on rank {rank}" for rank, count in enumerate(counts))
        return Ending("error", f"the ranks did different numbers of steps: {per_rank}", short)
    for rank in range(size):
        if notes[rank].finite is False:
            return Ending("wrong", "the loss of the last step is not a finite number", rank)
    if {note.parameters for note in notes.values()} == {"replicated"} and len(_digests(notes)) > 1:
        odd = next(rank for rank in range(size) if notes[rank].digest != notes[0].digest)
        return Ending("wrong", "after the last step its replica's parameters differ from rank 0's", odd)
    return None


def _too_short(note: ScriptNote) -> Ending:
    seen = note.warm + len(note.start_s)
    if not seen:
        remedy = "mark its steps by harness.steps.rankbench_steps, or try --steps-by forward"
        return Ending("error", f"the script ended, and no optimizer had stepped: {remedy}", note.rank)
    words = f"the script ended after {seen} steps, of which {len(note.start_s)} came after the warm-up"
    return Ending("error", f"{words}: have it do at least {FEWEST} more than --skip, or lower that", note.rank)


def _cause(ending: Ending) -> Ending:
    """An ending by a rank's last words is an error of the script's; one without any is a death."""
    last = ending.message
    if any(word in last for word in OUT_OF_MEMORY):
        return Ending("oom", last, ending.rank, ending.outcomes)
    status: Status = ending.status
    spoke = any(
        rank_outcome.rank == ending.rank and rank_outcome.outcome.endswith("failed") for rank_outcome in ending.outcomes
    )
    return Ending("error" if status == "died" and spoke else status, last, ending.rank, ending.outcomes)


def measured(notes: Mapping[int, ScriptNote], turn: Turn, origin_s: float) -> CellRecord:
    """The cell of a script that all ranks have measured, in seconds since ``origin_s``."""
    ranks = [notes[rank] for rank in range(turn.case.world_size)]
    count = len(ranks[0].start_s)
    devices = [note.device_s for note in ranks]
    facts = [note.facts for note in ranks]
    first = facts[0].model_copy(update={"found": _found(ranks)})
    return CellRecord(
        launch=turn.launch,
        comparison=turn.comparison,
        case=turn.case.key,
        status="unchecked",
        unit="sample",
        samples=Samples(
            round=tuple(range(count)),
            position=(turn.place,) * count,
            start_s=tuple(_since(note.start_s, origin_s) for note in ranks),
            end_s=tuple(_since(note.end_s, origin_s) for note in ranks),
            device_s=tuple(seconds for seconds in devices if seconds is not None) if None not in devices else None,
        ),
        facts=(first, *facts[1:]),
        warnings=tuple(warnings_of([CpuTime.of(rank) for rank in facts])),
    )


def _since(instants: Sequence[float], origin_s: float) -> tuple[float, ...]:
    return tuple(instant - origin_s for instant in instants)


def _found(ranks: Sequence[ScriptNote]) -> dict[str, Value]:
    """The facts that are known of a script without a check."""
    shares = [sum(rank.loader_s) / (rank.end_s[-1] - rank.start_s[0]) for rank in ranks]
    facts: dict[str, Value] = dict(ranks[0].facts.found) | {"steps": len(ranks[0].start_s), "loader_share": max(shares)}
    if ranks[0].loss is not None:
        facts["loss"] = ranks[0].loss
    if len(ranks) > 1:
        facts["replicas"] = _replicas(ranks)
    return facts


def _replicas(ranks: Sequence[ScriptNote]) -> str:
    kinds = {note.parameters for note in ranks}
    kind = kinds.pop() if len(kinds) == 1 else "none"
    if kind in ("sharded", "none"):
        return NOT_COMPARED[kind]
    return "alike" if len({note.digest for note in ranks}) == 1 else NOT_COMPARED[kind]


def _digests(notes: Mapping[int, ScriptNote]) -> set[str]:
    return {note.digest for note in notes.values()}
