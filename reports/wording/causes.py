"""What is said of the cause that costs a case most: a clause, and where it stands in the run's one line."""

from collections.abc import Mapping, Sequence

from reports.schema.diagnostics import Cause, CauseRow
from reports.text import units

ALL: Mapping[Cause, str] = {
    "foreign load": "other processes take its ranks' cores",
    "communication threads": "gloo's own threads take its ranks' cores",
    "CPU quota": "a CPU quota holds its ranks back",
    "throttled": "its devices hold their clocks back against heat or power",
    "lower clock": "its devices run at a lower clock where all are busy",
    "warm-up": "its first steps are slower than the rest",
    "drift": "its steps become slower while they are measured",
    "first slot": "what ran before slows its first steps",
    "full memory": "a device's memory is full, given back and asked for anew",
    "launching": "the host takes longer to launch a step than the device to do it",
    "host reads": "the host reads from the device, which waits meanwhile",
    "input": "its ranks wait for what is neither work nor a message, as a loader or a disk",
    "late start": "its ranks do not start together",
    "uneven shares": "its work does not divide evenly",
    "turns": "in each step another of its ranks is behind",
    "rising work": "its ranks have the more work the higher their number, or the lower, though they declare the same",
    "undeclared work": "its ranks have unequal work, though they declare the same",
    "slow memory": "its ranks are slow wherever they use memory",
    "slow rank": "its ranks are not equally fast",
    "slow receiving": "what its ranks receive is slow",
    "slow link": "messages between its ranks are slow",
    "small messages": "it sends many small messages",
    "one message": "it sends all it has in one message, which nothing hides",
    "communication": "its ranks wait for messages",
    "contention": "its devices slow each other down",
    "pauses": "a few steps take far longer than most",
}
"""Where it befalls all ranks, or none in particular."""
SOME: Mapping[Cause, str] = {
    "foreign load": "other processes take the core of {ranks}",
    "communication threads": "gloo's own threads take the core of {ranks}",
    "CPU quota": "a CPU quota holds {ranks} back",
    "throttled": "heat or power holds the clock of {ranks} back",
    "lower clock": "the clock of {ranks} is lower than that of its peers",
    "late start": "{ranks} starts after its peers",
    "uneven shares": "its work does not divide evenly, and {ranks} has most of it",
    "undeclared work": "{ranks} has more to do than its peers, though it declares the same",
    "slow memory": "{ranks} is slow wherever it uses memory, and in nothing else",
    "slow rank": "{ranks} is slow",
    "slow receiving": "what {ranks} receives takes longer than what its peers do",
    "slow link": "messages between {ranks} take long",
}
"""Where it befalls some of them."""
FEW = 4
"""So many ranks are named."""


def clause(cause: Cause, ranks: Sequence[int], places: Sequence[str]) -> str:
    """What follows a because; ``places`` are those of ``ranks``."""
    if not ranks or cause not in SOME:
        return ALL[cause]
    each = [f"{rank} ({place})" for rank, place in zip(ranks[:FEW], places, strict=False)]
    more = [units.count(len(ranks) - FEW, "more rank")] if len(ranks) > FEW else []
    return SOME[cause].format(ranks=f"rank {each[0]}" if len(ranks) == 1 else f"ranks {units.listed([*each, *more])}")


def because(rows: Sequence[CauseRow]) -> str:
    """What ends the run's one line: the cause that costs most of all on the most devices; empty where none is named."""
    most = max((row.world_size for row in rows), default=0)
    worst = max((row for row in rows if row.world_size == most), key=lambda row: row.share, default=None)
    return f", above all because {worst.text} ({units.percent(worst.share)} of a step)" if worst else ""
