"""summary.json: every number of a run that a table, a plot or a claim may show, computed once."""

from collections import Counter

from harness.journal.plan import Comparison, Exercise, Plan, Side
from harness.journal.run_directory import RunDir
from reports.analysis.audit import Examined, audit_rows
from reports.analysis.cases import cell_rows
from reports.analysis.contrasts import contrast_rows, margin
from reports.analysis.limits import ceiling_rows, floor_rows, roof_rows
from reports.analysis.losses import loss_rows
from reports.analysis.projection import projection_rows
from reports.analysis.ranks import heat_rows, rank_rows
from reports.analysis.sides import side_rows
from reports.analysis.steadiness import health
from reports.analysis.timeline import trace_rows
from reports.reading.run import WORST_FIRST, Cell, Evidence, load
from reports.schema.summary import ComparisonFacts, Planned, RankPlace, RunFacts, SideFacts, Summary
from reports.statistics.measured import Measured, measure
from reports.statistics.variance import advice_rows, variance_rows
from reports.wording import commands
from reports.wording.answers import chapter
from reports.wording.claims import claims, profile_rows
from reports.wording.findings import Findings, headline
from reports.wording.lookup import Book


def summarise(run: RunDir) -> Summary:
    """Compute a run's summary. Raises UsageError or JournalError where the directory cannot be read as a run."""
    return summary_of(measure(load(run)))


def summary_of(measured: Measured) -> Summary:
    """The summary of what was measured: by the first side, and how the others compare with it."""
    ranks, steady = rank_rows(measured), health(measured)
    evidence = measured.evidence
    others = tuple(measure(evidence.of(side)) for side in evidence.plan.sides[1:])
    about, spread = _about(measured), variance_rows(measured)
    cells = cell_rows(measured, ranks, steady)
    found = Findings(
        run=_run_facts(measured.evidence),
        strip=_strip(measured.evidence),
        cells=cells,
        telemetry=tuple(row for other in others for row in cell_rows(other, rank_rows(other), health(other))),
        sides=side_rows(measured, others),
        comparisons=contrast_rows(measured),
        floors=floor_rows(measured),
        ranks=ranks,
        losses=loss_rows(measured, cells, ranks),
        profiles=profile_rows(evidence),
    )
    exercises = chapter(() if evidence.plan.is_duel else evidence.plan.comparisons, Book.of(found, about))
    return Summary(
        headline=headline(found, exercises),
        run=found.run,
        counts=_counts(found.strip),
        claims=claims(found),
        cells=found.cells + found.telemetry,
        sides=found.sides,
        comparisons=found.comparisons,
        ceilings=ceiling_rows(measured),
        roofs=roof_rows(measured),
        floors=found.floors,
        ranks=found.ranks,
        variances=spread,
        advice=advice_rows(measured, spread),
        losses=found.losses,
        health=steady.rows,
        projection=projection_rows(measured, cells),
        audit=audit_rows(Examined(measured, cells, found.comparisons, found.sides)),
        traces=trace_rows(measured, cells, steady.rows),
        heat=heat_rows(measured),
        profiles=found.profiles,
        chapter=exercises,
        about=about,
        strip=found.strip,
        environment=evidence.environment,
    )


def _counts(strip: tuple[Planned, ...]) -> dict[str, int]:
    counted = Counter(cell.status for cell in strip)
    return {"planned": len(strip), **{state: counted[state] for state in reversed(WORST_FIRST)}}


def _strip(evidence: Evidence) -> tuple[Planned, ...]:
    return tuple(
        Planned(
            launch=cell.launch,
            comparison=cell.comparison,
            case=cell.case.key,
            status=cell.state,
            rank=cell.record.rank if cell.record else None,
            message=cell.record.message if cell.record else None,
            outcomes=cell.record.outcomes if cell.record else (),
            again=_again(evidence, cell),
        )
        for cell in evidence.all_cells
    )


def _again(evidence: Evidence, cell: Cell) -> str | None:
    if cell.state in ("ok", "missing") or cell.case.probe:
        return None
    return commands.command(evidence.plan, evidence.plan.side_of(cell.launch), cell.case)


def _about(measured: Measured) -> tuple[ComparisonFacts, ...]:
    return tuple(
        ComparisonFacts(
            comparison=index,
            scenario=comparison.scenario,
            title=comparison.title,
            exercises=tuple(exercise.number for exercise in _exercises(measured.evidence.plan, comparison)),
            scaling=comparison.scaling,
            variant_field=comparison.variant_field,
            baseline=comparison.baseline,
            params=comparison.params,
            aa=measured.aa_by_comparison[index],
            margin=margin(measured, index).beyond,
        )
        for index, comparison in enumerate(measured.evidence.plan.comparisons)
    )


def _exercises(plan: Plan, comparison: Comparison) -> tuple[Exercise, ...]:
    """Those that a run answers: a duel's question is another."""
    return () if plan.is_duel else comparison.exercises


def _run_facts(evidence: Evidence) -> RunFacts:
    plan, gangs = evidence.plan, [gang for _, gang in sorted(evidence.launched.items())]
    short = {cell.launch for cell in evidence.all_cells if cell.record is None}
    devices = {rank.rank: rank.device_name for gang in gangs for rank in gang.ranks}
    fingerprints = sorted({gang.fingerprint for gang in gangs})
    return RunFacts(
        command=plan.command,
        program=plan.program,
        version=plan.version,
        launcher=plan.launcher,
        sides=tuple(_side_facts(evidence, side) for side in plan.sides),
        devices=plan.devices,
        device_names=tuple(name for _, name in sorted(devices.items())),
        world_sizes=plan.world_sizes,
        threads=plan.threads,
        launches_planned=evidence.launches,
        launches_done=evidence.launches - len(short),
        seed=plan.seed,
        budget_s=plan.precision.limit_s if plan.precision else plan.budget_s,
        margin=plan.margin,
        precision=plan.precision.fraction if plan.precision else None,
        regime=plan.regime,
        shared_device=plan.shared_device,
        emulated=plan.emulation.words if plan.emulation else None,
        started=min((gang.started for gang in gangs), default=None),
        fingerprint=", ".join(fingerprints) or None,
    )


def _places(own: Evidence) -> tuple[RankPlace, ...]:
    errors_s = sorted(own.clock_errors_s.items())
    return tuple(RankPlace(rank=rank, place=own.place(rank), clock_error_s=error_s) for rank, error_s in errors_s)


def _side_facts(evidence: Evidence, side: Side) -> SideFacts:
    own = evidence.of(side)
    gang = next(iter(own.gangs.values()), None)
    ranks = gang.ranks if gang else ()
    return SideFacts(
        name=side.name,
        launcher=side.launcher,
        python=side.python,
        ranks_per_host=own.layouts[0].ranks_per_host if own.layouts else (),
        layouts=own.layouts,
        places=_places(own) if own.layouts and len(own.layouts[0].ranks_per_host) > 1 else (),
        cpus=tuple(rank.cpus for rank in ranks),
        threads=tuple(rank.threads for rank in ranks),
        strange_hosts=own.strange_hosts,
        niceness=0
        if evidence.plan.emulation  # other processes take no emulated time
        else max((rank.niceness for each in own.gangs.values() for rank in each.ranks), default=0),
        variables=(gang.variables if gang else {}) | side.variables,
    )
