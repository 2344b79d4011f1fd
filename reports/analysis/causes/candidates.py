"""Candidates: every cause for which a case's symptoms have evidence, with the part of a step that it takes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from harness.device.telemetry import cpu_load
from harness.journal.measurement_warnings import Kind
from reports.analysis.causes.symptoms import Symptoms
from reports.analysis.steadiness import SELDOM
from reports.reading.samples import Array, Whole
from reports.schema.cases import RankRow
from reports.schema.diagnostics import Cause, HealthRow

WORTH = 0.06
"""A cause that takes less of a step is not named: devices and samples vary by as much."""
RARE = 0.04
"""So is one of a few long steps, by their mean over their median."""
SMALL, MANY = 64 * 1024, 10
"""Bytes of a message below which its latency counts and not its size, and how many of them there are in a step."""
HIDDEN = 0.1
"""A message of whose time less than this is behind work goes when all work is done."""


@dataclass(frozen=True)
class Candidate:
    """A cause that may be."""

    cause: Cause
    share: float
    """Of a step's time."""
    ranks: tuple[int, ...] = ()
    """Whom it befalls; empty for all of them."""


def candidates(
    symptoms: Symptoms, ranks: Sequence[RankRow], health: Sequence[HealthRow], warned: Sequence[Kind]
) -> tuple[Candidate, ...]:
    """In the order of how direct their evidence is: where one explains another, it stands before it.

    ``ranks``, ``health`` and the kinds of warnings are the case's own.
    """
    found = (
        *_processors(symptoms),
        *_clocks(symptoms),
        *_order(health, warned),
        *_allocator(symptoms),
        *_host(symptoms),
        *_late(symptoms),
        *_declared(symptoms),
        *_balance(symptoms, ranks),
        *_one_sided(symptoms),
        *_messages(symptoms),
        *_contention(symptoms),
        *_pauses(symptoms),
    )
    return tuple(each for each in found if each.share > (RARE if each.cause in ("full memory", "pauses") else WORTH))


def _processors(symptoms: Symptoms) -> Iterator[Candidate]:
    """Cores that others have, or that a quota takes away."""
    kinds: tuple[tuple[Cause, str], ...] = (
        ("foreign load", "foreign"),
        ("communication threads", "by_messages"),
        ("CPU quota", "held_back"),
    )
    for cause, name in kinds:
        shares = symptoms.shares(name)
        if shares.size and shares.max() > cpu_load.LIMIT:
            over = np.flatnonzero(shares > cpu_load.LIMIT)
            yield Candidate(cause, float(shares.max()), _few(over, shares.size))


def _few(ranks: Whole, among: int) -> tuple[int, ...]:
    """Ranks, where they are fewer than half of all."""
    return tuple(int(rank) for rank in ranks) if 2 * len(ranks) <= among else ()


def _clocks(symptoms: Symptoms) -> Iterator[Candidate]:
    """Clocks below that of one device alone, or below those of their peers."""
    mhz, alone = symptoms.mhz, symptoms.mhz_alone
    top = max(alone or 0.0, float(mhz.max(initial=0.0)))
    if top <= 0:
        return
    lag = 1 - mhz / top
    low = np.flatnonzero(lag > WORTH)
    if low.size:
        held = symptoms.held_back.size and symptoms.held_back[low].max() > SELDOM
        yield Candidate("throttled" if held else "lower clock", float(lag.max()), _few(low, mhz.size))


def _order(health: Sequence[HealthRow], warned: Sequence[Kind]) -> Iterator[Candidate]:
    """Samples that depend on when they were taken."""
    names: tuple[tuple[Kind, Cause, tuple[str, ...]], ...] = (
        (Kind.WARMING_UP, "warm-up", ("warm_up",)),
        (Kind.DRIFT, "drift", ("drift",)),
        (Kind.FIRST_SLOT, "first slot", ("first_of_visit", "first_in_round")),
    )
    for kind, cause, effects in names:
        if kind in warned:
            known = ([value for row in health if (value := getattr(row, name)) is not None] for name in effects)
            yield Candidate(cause, max((float(np.median(values)) for values in known if values), default=0.0))


def _allocator(symptoms: Symptoms) -> Iterator[Candidate]:
    if any(fact.alloc_retries for facts in symptoms.facts for fact in facts):
        yield Candidate("full memory", symptoms.tail)


def _host(symptoms: Symptoms) -> Iterator[Candidate]:
    """What devices wait for: a host that launches, or that reads from them; a loader or a disk."""
    time_s, cell = symptoms.loss.time_s, symptoms.cell
    if cell.enqueue_s is not None and cell.device_s is not None and cell.enqueue_s > cell.device_s:
        yield Candidate("launching", 1 - cell.device_s / time_s)
    more = _share(symptoms.together_excess)
    if cell.host_reads:
        yield Candidate("host reads", more)
    elif symptoms.idle_s > more * time_s / 2:
        yield Candidate("input", more)


def _late(symptoms: Symptoms) -> Iterator[Candidate]:
    late_s = symptoms.lateness_s
    if late_s.size:
        late = np.flatnonzero(late_s > WORTH * symptoms.loss.time_s)
        yield Candidate("late start", float(late_s.max()) / symptoms.loss.time_s, _few(late, late_s.size))


def _declared(symptoms: Symptoms) -> Iterator[Candidate]:
    """Declared work that does not divide evenly."""
    cell = symptoms.cell
    if cell.ideal_speedup is not None:
        devices = cell.world_size / (cell.base_world_size or 1)
        most = np.flatnonzero(symptoms.declared > 1 - WORTH / 2)
        yield Candidate("uneven shares", 1 - cell.ideal_speedup / devices, _few(most, symptoms.declared.size))


def _balance(symptoms: Symptoms, ranks: Sequence[RankRow]) -> Iterator[Candidate]:
    """Work that differs between ranks: from step to step, only where they work together, or wherever they do."""
    turns = symptoms.turns
    if turns is not None and turns.low is not None and turns.low > WORTH / 2:
        yield Candidate("turns", _share(turns.value))
    if not any(fact.asymmetric for facts in symptoms.facts for fact in facts):
        gang, memory = symptoms.gang_excess, symptoms.memory_excess
        yield from (
            [Candidate("rising work", _share(float(gang.max())))] if symptoms.rises else _rank("undeclared work", gang)
        )
        if gang.size and memory.size and memory.max() > WORTH and symptoms.paces:
            yield from _rank("slow memory", memory)
    named = [row for row in ranks if row.named]
    if named:
        share = _share(max(row.ratio for row in named) - 1)
        yield Candidate("slow rank", share, tuple(sorted({row.rank for row in named})))


def _rank(cause: Cause, excess: Array) -> Iterator[Candidate]:
    if excess.size:
        yield Candidate(cause, _share(float(excess.max())), (int(excess.argmax()),))


def _share(excess: float) -> float:
    """What a part that is longer by a fraction of the others takes of the step, which is as long as it."""
    return max(excess, 0.0) / (1 + max(excess, 0.0))


def _one_sided(symptoms: Symptoms) -> Iterator[Candidate]:
    """Transfers that take longer on one rank, which receives slowly, or on two, between which there is a link."""
    excess_s = symptoms.slow_transfers_s
    slow = np.flatnonzero(excess_s > WORTH * symptoms.loss.time_s)
    if slow.size and 2 * slow.size <= max(excess_s.size, 4):
        cause: Cause = "slow receiving" if slow.size == 1 else "slow link"
        yield Candidate(cause, float(excess_s.max()) / symptoms.loss.time_s, tuple(int(rank) for rank in slow))


def _messages(symptoms: Symptoms) -> Iterator[Candidate]:
    """Transfers that take long on all ranks: by how many messages there are, how large, and how well hidden."""
    part, loss = symptoms.loss.communication, symptoms.loss
    if part is None or not part.sure:
        return
    count = sum(each.count for each in symptoms.cell.messages)
    size = (symptoms.cell.traffic_bytes or 0) / max(count, 1)
    cause: Cause = "communication"
    if count >= MANY and size <= SMALL:
        cause = "small messages"
    elif (
        size > SMALL
        and count <= 2
        and (loss.overlap or 0.0) < HIDDEN
        and loss.work_s
        and part.seconds < min(loss.work_s)
    ):
        cause = "one message"
    elif loss.world_size == 2:
        cause = "slow link"
    yield Candidate(cause, part.seconds / loss.time_s, (0, 1) if cause == "slow link" else ())


def _contention(symptoms: Symptoms) -> Iterator[Candidate]:
    """What busy devices slow each other by: in memory, or in their clocks where a loop without memory is slower too."""
    part = symptoms.loss.contention
    if part is None or not part.sure:
        return
    measured, comparison, size = symptoms.measured, symptoms.cell.comparison, symptoms.case.world_size
    alone, busy = (measured.probe(comparison, "spin", devices) for devices in (1, size))
    slower = measured.first_rank_values(busy) / measured.first_rank_values(alone) - 1 if alone and busy else None
    clock = slower is not None and len(slower) > 0 and float(slower.median()) * symptoms.loss.ideal_s > part.seconds / 2
    yield Candidate("lower clock" if clock else "contention", part.seconds / symptoms.loss.time_s)


def _pauses(symptoms: Symptoms) -> Iterator[Candidate]:
    yield Candidate("pauses", symptoms.tail)
