"""``rankbench check``: tries scenarios on one device and on two, for who writes them."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from harness.cli.console import Terminal
from harness.cli.options import Devices, Settings, ShareDevice
from harness.common.errors import NOT_OK, OK
from harness.common.packages import late
from harness.common.startup import refuse_without_asserts
from harness.device import device
from harness.journal.measurement_warnings import Kind
from harness.journal.plan import Case, Plan
from harness.journal.records import MEASURED, CellRecord, RankFacts
from harness.journal.run_directory import RunDir
from harness.measure.sampling import Sampling
from harness.planning.builder import make
from harness.planning.request import RunRequest
from harness.plugins import registry
from harness.work.counting import sent_bytes

SIZES = 1, 2
"""World sizes of a check, as far as there are devices."""
DEADLINE_S = 60.0
OF_THE_SCENARIO = {
    Kind.WORK_DIFFERS,
    Kind.UNCOUNTED_WORK,
    Kind.CONSTANT_OPERANDS,
    Kind.PROCESS_SETTINGS,
    Kind.UNJOINED_STREAM,
    Kind.BLIND_CHECK,
}
"""Warnings that its author can heed; the others are about times, and here nothing is timed with care."""


def check(  # noqa: PLR0913
    scenario: Annotated[
        list[str],
        typer.Argument(
            metavar="SCENARIO...", help="path/to/file.py (all of its scenarios), path/to/file.py:Class, or names."
        ),
    ],
    *,
    devices: Devices = None,
    world_sizes: Annotated[
        str | None, typer.Option(metavar="P,P", help="How many devices. [default: 1,2, as far as there are]")
    ] = None,
    settings: Settings = None,
    share_device: ShareDevice = False,
    deadline: Annotated[
        float, typer.Option(metavar="SECONDS", help="Give up a case that makes no progress for this long.")
    ] = DEADLINE_S,
) -> int:
    """Try a scenario that you write, in seconds: every variant on one device and on two, with no report.

    Prints a line per case: ok, wrong, error with the reason, or skipped; the declared work and the counted one. A check
    that takes an output of other numbers gets a warning. Exit code 1 unless all cases are ok, or skipped by design.
    """
    refuse_without_asserts()
    request = RunRequest(
        names=_references(scenario),
        devices=devices,
        world_sizes=world_sizes,
        settings=settings or (),
        share_device=share_device,
        deadline_s=deadline,
        launches=1,
        preset="smoke",
        command="rankbench check",
    )
    return OK if run(trial(request), Terminal()) else NOT_OK


def _references(names: Sequence[str]) -> list[str]:
    """The scenarios that are meant: of a file without a class, all that it has."""
    return [
        reference
        for name in names
        for reference in (
            [entry.reference for entry in registry.of_file(Path(name))] if name.endswith(".py") else [name]
        )
    ]


def trial(request: RunRequest) -> Plan:
    """The plan of a check: one launch of the gangs' own cases, as brief as can be. Raises UsageError."""
    if request.world_sizes is None:
        count = len(device.parse(request.devices, request.threads, share=request.share_device))
        request = replace(request, world_sizes=",".join(str(size) for size in SIZES if size <= count))
    plan = make(request)
    comparisons = tuple(
        each.model_copy(update={"cases": tuple(case for case in each.cases if not (case.packed or case.probe))})
        for each in plan.comparisons
    )
    budget_s = Sampling().least_s(sum(len(each.cases) for each in comparisons))
    return plan.model_copy(update={"comparisons": comparisons, "budget_s": budget_s, "trial": True})


def run(plan: Plan, console: Console) -> bool:
    """Try what is planned, in a temporary folder, and print what became of it; tells whether all of it is well."""
    with TemporaryDirectory(prefix="rankbench-check-") as folder:
        directory = RunDir(Path(folder) / "run")
        directory.create(plan)
        well: bool = late("launch.run:own")(directory, plan, Console(quiet=True))
        cells = {
            (entry.comparison, entry.case): entry for entry in directory.entries() if isinstance(entry, CellRecord)
        }
    for _, index, case in plan.cells(1):
        for line, style in lines(case, cells[index, case.key]):
            console.print(Text(line, style), soft_wrap=True)
    return well


def lines(case: Case, cell: CellRecord) -> Iterator[tuple[str, str]]:
    """What became of a case: a line, its warnings, and where it failed; each with a style."""
    if cell.status in MEASURED:
        yield f"{case.key}: {cell.status}{_work(cell.facts)}", "green"
    elif cell.by_design:
        yield f"{case.key}: skipped by design: {cell.message}", "dim"
    else:
        where = "" if cell.rank is None else f" on rank {cell.rank}"
        yield f"{case.key}: {cell.status}{where}: {cell.message or 'no reason was given'}", "red"
        for outcome in cell.outcomes:
            yield from ((f"    {line}", "dim") for line in (outcome.words or outcome.outcome).splitlines())
    for warning in (each for each in cell.warnings if each.kind in OF_THE_SCENARIO):
        yield f"    warning {warning.kind}: {warning.fact}; {warning.kind.remedy}", "yellow"


def _work(facts: Sequence[RankFacts]) -> str:
    """The declared and the counted work of all ranks, where there is any."""
    flops, counted = sum(each.flops for each in facts), sum(each.counted_flops for each in facts)
    wire, sent = sum(each.wire for each in facts), sum(map(sent_bytes, facts))
    parts = [
        *([f"{flops:.4g} FLOP declared, {counted:.4g} counted"] * bool(flops or counted)),
        *([f"{wire:.4g} B to send declared, {sent:.4g} B counted"] * bool(wire or sent)),
    ]
    return "".join(f"; {part}" for part in parts)
