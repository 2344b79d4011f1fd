"""The rules on the setting: what was left out and documented, how ranks are timed, what bounds and joins figures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from harness.doubts import Kind
from reports import units
from reports.audit.examined import Examined, Found, failed, of, passed, without
from reports.contrasts import margin
from reports.rows import CellRow
from reports.topology import Topology

NEEDED = ("host.cpu", "host.cores", "devices", "software.python", "software.torch")
"""Without these of environment.json, nobody could set up the same again."""
MISALIGNED = (Kind.LATE_START, Kind.UNJOINED_STREAM)
BEYOND = (Kind.SUPERLINEAR, Kind.SPEEDUP_ABOVE_CEILING, Kind.ABOVE_CEILING)


def left_out(run: Examined) -> Found:
    """Rule 2: whatever was planned has a record, and all of the host's devices are in use."""
    evidence, plan = run.measured.evidence, run.measured.evidence.plan
    cells = evidence.all_cells
    missing = sum(cell.record is None for cell in cells)
    if missing:
        return failed(f"{of(missing, len(cells), 'planned cell')} have no record, and no reason")
    layout, used = Topology.of(evidence), len({*plan.devices[: max(plan.world_sizes)]})
    if layout.hosts:
        used = min(used, layout.hosts.count(layout.hosts[0]))
    if layout.room is not None and used < layout.room:
        told = f"{used} of the host's {units.count(layout.room, 'device')} {'is' if used == 1 else 'are'} in use"
        return failed(f"{told}, and the run does not say why")
    other = sum(cell.state != "ok" for cell in cells)
    whole = "" if layout.room is None else f", on all {units.count(layout.room, 'device')} of the host"
    reasons = "all of them ok" if not other else f"{other} not ok, each with its reason"
    return passed(f"{units.count(len(cells), 'cell')} planned before the first measurement, {reasons}{whole}")


def documented(run: Examined) -> Found:
    """Rule 9: there is one environment, and all that it takes to set it up again is told."""
    evidence = run.measured.evidence
    told = evidence.environment or {}
    lacking = [name for name in NEEDED if not _known(told, name)]
    if lacking:
        return failed(f"environment.json does not tell {units.listed(lacking)}")
    prints = {gang.fingerprint for gang in evidence.gangs.values()}
    if len(prints) > 1:
        return failed(f"Launches were made in {len(prints)} different environments")
    git = told.get("git")
    if isinstance(git, dict) and git.get("changed"):
        return failed("The folder that the run was started in has changes that are in no commit")
    levels = units.listed([units.count(n, *words) for n, words in _factors(run)])
    return passed(f"Of the factors there are {levels}, beside seed, regime and {_leaves(told)} facts about the machine")


def _known(told: object, name: str) -> bool:
    for part in name.split("."):
        told = told.get(part) if isinstance(told, dict) else None
    return bool(told)


def _factors(run: Examined) -> Iterator[tuple[int, tuple[str, ...]]]:
    """How many levels each factor has, with the words for them."""
    plan = run.measured.evidence.plan
    yield len(plan.world_sizes), ("count of devices", "counts of devices")
    yield len({each.scenario for each in plan.comparisons}), ("scenario",)
    yield len(plan.comparisons), ("set of parameters", "sets of parameters")
    yield sum(len({case.arm for case in each.cases if not case.probe}) for each in plan.comparisons), ("arm",)
    yield len(plan.sides), ("environment",)


def _leaves(told: object) -> int:
    if isinstance(told, dict):
        return sum(map(_leaves, told.values()))
    return sum(map(_leaves, told)) if isinstance(told, list) else 1


def parallel(run: Examined) -> Found:
    """Rule 10: ranks start together, the way is told, and all of a sample is in its time."""
    several = [row for row in run.timed if row.world_size > 1]
    if not several:
        return without("Nothing was timed on several devices")
    plan = run.measured.evidence.plan
    if not plan.regime.get("alignment"):
        return failed("The plan does not tell how starts are aligned")
    doubtful = _doubted(several, MISALIGNED)
    if doubtful:
        told = of(len(doubtful), len(several), "case")
        return failed(f"In {told} ranks start late or a time misses work, {run.example(doubtful)}")
    skew = units.seconds(max(row.skew_s or 0.0 for row in several))
    ranks = (rank for gang in run.measured.evidence.gangs.values() for rank in gang.ranks)
    error_s = max((rank.clock_error_s for rank in ranks), default=0.0)
    clocks = f", by clocks that may be {units.seconds(error_s)} off" if error_s else ""
    told = f"Starts are aligned by a {plan.regime['alignment']} and typically within {skew}{clocks}"
    return passed(f"{told}; a sample takes as long as its slowest rank, and all ranks' marks are kept")


def bounds(run: Examined) -> Found:
    """Rule 11: every case that claims to scale has bounds, and is within them."""
    scaled = [row for row in run.scaling if row.speedup is not None]
    if not scaled:
        return without("There is no speed-up that could be bounded")
    bare = [row for row in scaled if row.ceiling_speedup is None or row.ideal_speedup is None]
    if bare:
        told = of(len(bare), len(scaled), "speed-up")
        return failed(f"{told} have no ceiling that was measured beside them, {run.example(bare)}")
    beyond = _doubted(scaled, BEYOND)
    if beyond:
        return failed(
            f"{of(len(beyond), len(scaled), 'case')} are beyond what should bound them, {run.example(beyond)}"
        )
    shares = [(row.speedup or 0.0) / (row.reachable or 1.0) for row in scaled]
    least, most = units.percent(min(shares)), units.percent(max(shares))
    reached = least if least == most else f"{least} to {most}"
    told = (
        f"{units.count(len(scaled), 'speed-up')} beside the ideal and what a large product reached in the same launches"
    )
    return passed(f"{told}, of which they reach {reached}")


def _doubted(rows: Sequence[CellRow], kinds: Sequence[Kind]) -> list[CellRow]:
    return [row for row in rows if any(caution.kind in kinds for caution in row.warnings)]


def lines(run: Examined) -> Found:
    """Rule 12: every launch is shown, and one may read between the points that a line joins."""
    if not run.timed:
        return without("Nothing is plotted")
    worst, inner = 0.0, 0
    for curve in _curves(run):
        points = [(float(curve[0].base_world_size or 1), 1.0), *((row.world_size, row.speedup or 0.0) for row in curve)]
        off, limit = list(_misses(points)), margin(run.measured, curve[0].comparison).beyond
        name = f"The line to {run.name(curve[-1])}"
        if not off and points[-1][0] - points[0][0] > 1:
            return failed(f"{name} passes counts none of which was measured")
        worst, inner = max([worst, *off]), inner + len(off)
        if worst > limit:
            return failed(
                f"{name} is {units.percent(worst)} off where it passes a count (limit {units.percent(limit)})"
            )
    shown = units.count(sum(len(row.launch_s) for row in run.timed), "launch value")
    told = f"{shown} of {units.count(len(run.timed), 'case')} are dots beside their medians"
    passing = f"at most {units.percent(worst)} off where they pass one" if inner else "with none between them"
    return passed(f"{told}, and lines join counts of devices, {passing}")


def _curves(run: Examined) -> list[list[CellRow]]:
    """What the plots of speed-ups join: an arm's cases each."""
    found: dict[tuple[int, str | None], list[CellRow]] = {}
    for row in sorted(run.scaling, key=lambda row: row.world_size):
        if row.speedup is not None:
            found.setdefault((row.comparison, row.arm), []).append(row)
    return list(found.values())


def _misses(points: Sequence[tuple[float, float]]) -> Iterator[float]:
    """How far each inner point is off the line between its neighbours, relative."""
    for before, (at, value), after in zip(points, points[1:], points[2:], strict=False):
        read = float(np.interp(at, [before[0], after[0]], [before[1], after[1]]))
        yield abs(read / value - 1) if value else 0.0
