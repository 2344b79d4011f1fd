"""summary.json: every number of a run that a table, a plot or a claim may show, computed once."""

from collections import Counter

from harness.journal.plan import Comparison, Exercise, Plan, Side
from harness.journal.records import MEASURED
from harness.journal.run_directory import RunDir
from reports.analysis.audit import audit_rows
from reports.analysis.cases import cell_rows
from reports.analysis.causes.cause_rows import cause_rows
from reports.analysis.contrasts import contrast_rows, margin
from reports.analysis.hosts import host_rows
from reports.analysis.limits import ceiling_rows, floor_rows, roof_rows
from reports.analysis.losses import loss_rows
from reports.analysis.projection import projection_rows
from reports.analysis.ranks import heat_rows, rank_rows
from reports.analysis.sides import side_rows
from reports.analysis.steadiness import health
from reports.analysis.timeline import trace_rows
from reports.reading.run import WORST_FIRST, Cell, Evidence, load
from reports.schema.summary import ComparisonFacts, Planned, ProfileRow, RankPlace, RunFacts, SideFacts, Summary
from reports.statistics.measured import Measured, measure
from reports.statistics.variance import advice_rows, variance_rows
from reports.text import labels
from reports.wording import commands
from reports.wording.answers import chapter
from reports.wording.claims import claims, headline


def summarise(run: RunDir) -> Summary:
    """Compute a run's summary. Raises UsageError or JournalError where the directory cannot be read as a run."""
    return summary_of(measure(load(run)))


def summary_of(measured: Measured) -> Summary:
    """The summary of what was measured: by the first side, and how the others compare with it."""
    evidence = measured.evidence
    others = tuple(measure(evidence.of(side)) for side in evidence.plan.sides[1:])
    ranks, steadiness, variances = rank_rows(measured), health(measured), variance_rows(measured)
    cells, outcomes = cell_rows(measured, ranks, steadiness), _outcomes(evidence)
    losses = loss_rows(measured, cells, ranks)
    summary = Summary(
        headline="",
        run=_run_facts(evidence),
        counts=_counts(outcomes),
        claims=(),
        cells=cells + tuple(row for other in others for row in cell_rows(other, rank_rows(other), health(other))),
        sides=side_rows(measured, others),
        comparisons=contrast_rows(measured),
        ceilings=ceiling_rows(measured),
        roofs=roof_rows(measured),
        floors=floor_rows(measured),
        hosts=host_rows(measured),
        ranks=ranks,
        variances=variances,
        advice=advice_rows(measured, variances),
        losses=losses,
        causes=cause_rows(measured, cells, losses, ranks, steadiness.rows),
        health=steadiness.rows,
        projection=projection_rows(measured, cells),
        audit=(),
        traces=trace_rows(measured, cells, steadiness.rows),
        heat=heat_rows(measured),
        profiles=_profiles(evidence),
        chapter=(),
        about=_about(measured),
        strip=outcomes,
        environment=evidence.environment,
    )
    return _with_words(summary, measured)


def _with_words(summary: Summary, measured: Measured) -> Summary:
    """The same with everything that is said of its numbers."""
    comparisons = () if measured.evidence.plan.is_duel else measured.evidence.plan.comparisons
    answered = summary.model_copy(update={"chapter": chapter(comparisons, summary)})
    words = {"headline": headline(answered), "claims": claims(answered), "audit": audit_rows(measured, answered)}
    return answered.model_copy(update=words)


def _counts(outcomes: tuple[Planned, ...]) -> dict[str, int]:
    counted = Counter(cell.status for cell in outcomes)
    return {"planned": len(outcomes), **{state: counted[state] for state in reversed(WORST_FIRST)}}


def _outcomes(evidence: Evidence) -> tuple[Planned, ...]:
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
            by_design=cell.record is not None and cell.record.by_design,
        )
        for cell in evidence.all_cells
    )


def _again(evidence: Evidence, cell: Cell) -> str | None:
    by_design = cell.record is not None and cell.record.by_design
    if cell.state in (*MEASURED, "missing") or cell.case.probe or by_design:
        return None
    return commands.command(evidence.plan, evidence.plan.side_of(cell.launch), cell.case)


def _profiles(evidence: Evidence) -> tuple[ProfileRow, ...]:
    """Each case that was to be traced, in planned order."""
    traced = ((key, evidence.profiles[key]) for key, _, _ in evidence.cases() if key in evidence.profiles)
    return tuple(
        ProfileRow(
            comparison=key[0],
            key=key[1],
            files=profile.files,
            bytes=profile.bytes,
            steps=profile.steps,
            message=None if profile.files else _first_line(profile.message),
        )
        for key, profile in traced
    )


def _first_line(message: str | None) -> str:
    """CUDA's own errors go on for several lines; the journal has them all."""
    return labels.plain(next(iter((message or "").strip().splitlines()), "no reason was given"))


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


def _places(evidence: Evidence) -> tuple[RankPlace, ...]:
    errors_s = sorted(evidence.clock_errors_s.items())
    return tuple(RankPlace(rank=rank, place=evidence.place(rank), clock_error_s=error_s) for rank, error_s in errors_s)


def _side_facts(evidence: Evidence, side: Side) -> SideFacts:
    of_side = evidence.of(side)
    gang = next(iter(of_side.gangs.values()), None)
    ranks = gang.ranks if gang else ()
    return SideFacts(
        name=side.name,
        launcher=side.launcher,
        python=side.python,
        ranks_per_host=of_side.layouts[0].ranks_per_host if of_side.layouts else (),
        layouts=of_side.layouts,
        places=_places(of_side) if of_side.layouts and len(of_side.layouts[0].ranks_per_host) > 1 else (),
        cpus=tuple(rank.cpus for rank in ranks),
        threads=tuple(rank.threads for rank in ranks),
        strange_hosts=of_side.strange_hosts,
        niceness=0
        if evidence.plan.emulation  # other processes take no emulated time
        else max((rank.niceness for group in of_side.gangs.values() for rank in group.ranks), default=0),
        variables=(gang.variables if gang else {}) | side.variables,
    )
