"""Warnings that follow from the samples, merged with those that the worker raised."""

import statistics
from collections.abc import Iterable, Iterator, Sequence

import pandas as pd

from harness.journal.measurement_warnings import Kind, MeasurementWarning
from harness.journal.plan import Case
from reports.analysis.limits import floor_s, least_s
from reports.analysis.steadiness import FEWEST_SAMPLES, Fact
from reports.reading.run import CaseId
from reports.schema.cases import FLOORS, Caution, CellRow, RankRow
from reports.statistics.estimates import FEWEST_LAUNCHES
from reports.statistics.measured import Measured
from reports.text import units
from reports.wording.ranks import over_peers

SLOW_FIRST = 2.0
"""A launch's first sample is slow above this multiple of its median."""
HEAVY_TAIL = 1.25
"""A mean above this multiple of the median belongs to steps of which some take far longer than most."""
SUPERLINEAR = 1.05
"""A speed-up above this multiple of what the declared work allows is suspect."""
ABOVE_CEILING = 1.05
"""So are a rate and a speed-up above this multiple of the large product's."""
ABOVE_BANDWIDTH = 2.0
"""So is a rate of bytes above this multiple of a copy's: work in place comes to 1.7 of it."""
CACHED_BYTES, ABOVE_CACHES = 2**27, 10.0
"""Of a step with fewer bytes a rank, which caches may hold, one above this multiple."""
SKEW = 0.05
"""Spread of the starts as a fraction of the sample's duration."""
UNJOINED = (0.10, 100e-6)
"""The host's span may exceed the device's own time by this fraction, or by so many seconds."""
DROWNED = "below resolution: most of the time is the harness's own"
"""Why nothing is said of two times of which one or both are so."""


def cautions(
    measured: Measured, key: CaseId, row: CellRow, ranks: Iterable[RankRow], unsteady: Iterable[Fact]
) -> tuple[Caution, ...]:
    """Every warning about a case's number, one entry a kind. ``row`` holds the number and its ratios.

    ``unsteady`` is what its diagnosis says.
    """
    case = measured.evidence.by_case[key][0].case
    pairs = list(_recorded(measured, key))
    samples = measured.samples(key)
    if samples is not None:
        pairs += _launches(row)
        pairs += _within(samples)
        pairs += unsteady
        pairs += _late(samples)
        pairs += _unjoined(samples)
        pairs += _slow_ranks(measured, key, case, ranks)
        pairs += _limits(measured, key, case, row)
    by_kind: dict[Kind, list[str]] = {}
    for kind, fact in pairs:
        by_kind.setdefault(kind, []).append(fact)
    return tuple(Caution(kind=kind, fact="; ".join(facts), remedy=kind.remedy) for kind, facts in by_kind.items())


def _recorded(measured: Measured, key: CaseId) -> Iterator[Fact]:
    cells = [cell for cell in measured.evidence.by_case[key] if cell.record is not None]
    by_kind: dict[Kind, dict[int, list[MeasurementWarning]]] = {}
    for cell in cells:
        for warning in cell.record.warnings if cell.record else ():
            by_kind.setdefault(warning.kind, {}).setdefault(cell.launch, []).append(warning)
    for kind, by_launch in sorted(by_kind.items()):
        facts = units.listed([warning.fact for warning in next(iter(by_launch.values()))])
        lead = "e.g. " if len(by_launch) > 1 else ""
        yield kind, f"in {len(by_launch)} of {units.count(len(cells), 'launch')}: {lead}{facts}"


def _launches(row: CellRow) -> Iterator[Fact]:
    if row.launches < FEWEST_LAUNCHES:
        launches = units.count(row.launches, "launch")
        yield Kind.FEW_LAUNCHES, f"{launches}: an interval needs {FEWEST_LAUNCHES}"


def _within(samples: pd.DataFrame) -> Iterator[Fact]:
    by_launch = [launch for _, launch in samples.groupby("launch", sort=True)]
    among = f"of {units.count(len(by_launch), 'launch')}"
    sizes = [len(launch) for launch in by_launch]
    few = sum(size < FEWEST_SAMPLES for size in sizes)
    if few:
        fewest = units.count(min(sizes), "sample")
        yield Kind.FEW_SAMPLES, f"in {few} {among}: as few as {fewest} (limit {FEWEST_SAMPLES})"
    first = [float(launch["seconds"].iloc[0] / launch["seconds"].median()) for launch in by_launch]
    slow = sum(times > SLOW_FIRST for times in first)
    if slow:
        worst = units.times(max(first))
        yield (
            Kind.SLOW_FIRST,
            f"in {slow} {among}: the first sample took up to {worst} the median (limit 2{units.TIMES})",
        )
    yield from _tail([launch for launch in by_launch if len(launch) >= FEWEST_SAMPLES])


def _tail(by_launch: Sequence[pd.DataFrame]) -> Iterator[Fact]:
    """A launch's first sample, which has a warning of its own, is left out."""
    times = [launch["seconds"].iloc[1:] for launch in by_launch]
    if not times:
        return
    means, medians = [float(values.mean()) for values in times], [float(values.median()) for values in times]
    ratio = statistics.median(mean / median for mean, median in zip(means, medians, strict=True))
    if ratio > HEAVY_TAIL:
        mean, median = (units.seconds(statistics.median(values)) for values in (means, medians))
        text = f"a step takes {mean} in the mean, {units.times(ratio)} the median of {median}"
        yield Kind.HEAVY_TAIL, f"{text} (limit 1.25{units.TIMES})"


def _late(samples: pd.DataFrame) -> Iterator[Fact]:
    duration = samples["seconds"] * samples["inner"].astype(float)
    share = float((samples["skew_s"] / duration).median())
    if share > SKEW:
        text = f"ranks started {units.seconds(float(samples['skew_s'].median()))} apart"
        yield Kind.LATE_START, f"{text}, {units.percent_beyond(share, SKEW)} of a sample (limit {units.percent(SKEW)})"


def _unjoined(samples: pd.DataFrame) -> Iterator[Fact]:
    """Work on a stream that the timed one does not wait for ends after the device's own end mark."""
    excess_s = float(samples["excess_s"].median())
    share = float((samples["excess_s"] / (samples["seconds"] * samples["inner"].astype(float))).median())
    if share > UNJOINED[0] and excess_s > UNJOINED[1]:
        text = f"the host waited {units.seconds(excess_s)} longer than the device timed"
        yield (
            Kind.UNJOINED_STREAM,
            f"{text}, {units.percent_beyond(share, UNJOINED[0])} of a sample (limit {units.percent(UNJOINED[0])})",
        )


def _slow_ranks(measured: Measured, key: CaseId, case: Case, ranks: Iterable[RankRow]) -> Iterator[Fact]:
    """Ranks that are named slow in this case, or in its packed copies, from which its contention comes."""
    packed = measured.twin(case, key[0], case.world_size, packed=True)
    named = [row for row in ranks if row.named and (row.comparison, row.key) in (key, packed)]
    by_rank = {row.rank: row for row in sorted(named, key=lambda row: not row.packed)}
    for rank, row in sorted(by_rank.items()):
        where = " in the packed copies" if row.packed else ""
        yield Kind.RANK_SKEW, f"rank {rank} ({row.device}) takes {over_peers(row)}{where}"


def _limits(measured: Measured, key: CaseId, case: Case, row: CellRow) -> Iterator[Fact]:
    yield from _resolution(measured, key, case, row)
    yield from _host_bound(row)
    if measured.evidence.plan.shared_device and case.world_size > 1:
        yield Kind.SHARED_DEVICE, "several ranks ran on one device"
    yield from tuple(_superlinear(row)) or _above_ceiling(row)
    if row.rate is not None and row.roof is not None and row.rate > ABOVE_CEILING * row.roof:
        text = f"{units.rate(row.rate, 'FLOP')}, but a large product reached {units.rate(row.roof, 'FLOP')}"
        yield Kind.ABOVE_CEILING, text
    yield from _above_bandwidth(row)


def _host_bound(row: CellRow) -> Iterator[Fact]:
    if row.host_bound:
        launching, working = (units.seconds(seconds or 0.0) for seconds in (row.enqueue_s, row.device_s))
        yield Kind.HOST_BOUND, f"the host takes {launching} to launch a step, whose work takes the device {working}"


def _above_bandwidth(row: CellRow) -> Iterator[Fact]:
    if row.byte_rate is None or row.byte_roof is None or row.median_s is None:
        return
    cached = row.byte_rate * row.median_s / row.world_size < CACHED_BYTES
    limit = ABOVE_CACHES if cached else ABOVE_BANDWIDTH
    if row.byte_rate > limit * row.byte_roof:
        rate, roof = (units.quantity(value, "B/s") for value in (row.byte_rate, row.byte_roof))
        yield Kind.ABOVE_BANDWIDTH, f"{rate}, but copies in memory reached {roof} (limit {limit:g}{units.TIMES})"


def _resolution(measured: Measured, key: CaseId, case: Case, row: CellRow) -> Iterator[Fact]:
    if not row.below_resolution or row.median_s is None:
        return
    floor, least = floor_s(measured, key[0], case.world_size), least_s(measured, key)
    text = f"{units.seconds(row.median_s)} is less than three times"
    if floor is not None and row.median_s <= FLOORS * floor:
        yield Kind.BELOW_RESOLUTION, f"{text} a step that does nothing ({units.seconds(floor)})"
    elif least is not None:
        yield Kind.BELOW_RESOLUTION, f"{text} what lies between two marks of the device ({units.seconds(least)})"


def _superlinear(row: CellRow) -> Iterator[Fact]:
    """A speed-up surely beyond what the declared work's division allows."""
    if row.speedup is None or row.ideal_speedup is None or row.base_world_size is None:
        return
    sure = row.speedup_low is None or row.speedup_low > row.ideal_speedup
    if row.speedup > SUPERLINEAR * row.ideal_speedup and sure:
        shown = units.times_between(row.speedup, row.speedup_low, row.speedup_high)
        if row.divides:
            yield Kind.SUPERLINEAR, f"{shown} on {units.digits(row.world_size / row.base_world_size)} times the devices"
        else:
            best = units.times(row.ideal_speedup)
            yield Kind.SUPERLINEAR, f"{shown}, but the declared work divides so that {best} is the most"


def _above_ceiling(row: CellRow) -> Iterator[Fact]:
    """A speed-up surely beyond what a large product reaches when all devices are busy: their intervals are apart."""
    if row.speedup is None or row.reachable is None or row.ceiling_speedup is None:
        return
    share = row.reachable / row.ceiling_speedup
    sure = row.speedup_low is None or row.ceiling_high is None or row.speedup_low > row.ceiling_high * share
    if row.speedup > ABOVE_CEILING * row.reachable and sure:
        shown = units.times_between(row.speedup, row.speedup_low, row.speedup_high)
        divided = "" if row.divides else ", divided as this work is,"
        yield Kind.SPEEDUP_ABOVE_CEILING, f"{shown}, but a large product{divided} reached {units.times(row.reachable)}"
