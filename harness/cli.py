"""The command line. It judges what was asked for, and hands it to ``launch`` and ``reports`` by name, late."""

from __future__ import annotations

import datetime as dt
import json
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, cast

import typer
from rich.console import Console

from harness import __version__
from harness.errors import JournalError, RankbenchError, UsageError
from harness.exits import INTERRUPTED, NOT_OK, OK, UNDECIDED, USAGE
from harness.late import late
from harness.plan import Placement
from harness.rundir import RunDir

app = typer.Typer(
    name="rankbench",
    help="Does my PyTorch work scale over these devices, and why not? "
    "Start with `rankbench run`: it measures on every GPU, or on CPU cores where there is none, and writes a report.",
    rich_markup_mode=None,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def run_app(arguments: Sequence[str]) -> int:
    """Run a command line and return its exit code; whatever the user got wrong is one line on stderr."""
    command = typer.main.get_command(app)
    try:
        return command.main(list(arguments) or ["--help"], "rankbench", standalone_mode=False) or OK
    except UsageError as error:
        return _complain(error, USAGE)
    except RankbenchError as error:
        return _complain(error, NOT_OK)
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except Exception as error:
        told = getattr(error, "format_message", None)  # the option parser's own errors
        if told is None:
            raise
        return _complain(f"{told().rstrip('.')}; see `rankbench --help`", USAGE)


def _complain(text: object, code: int) -> int:
    if os.environ.get("RANK", "0") == "0":  # the other ranks of somebody's torchrun have the same to say
        print(f"rankbench: {text}", file=sys.stderr)  # noqa: T201
    return code


def _version(*, asked: bool) -> None:
    if asked:
        Console().print(f"rankbench {__version__}", highlight=False)
        raise typer.Exit


@app.callback()
def _main(
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=lambda asked: _version(asked=asked), is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    del version


@app.command("list")
def list_(
    scenario: Annotated[
        list[str] | None, typer.Argument(metavar="[SCENARIO]...", help="Only these, with their axes. [default: all]")
    ] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for scripts.")] = False,
) -> None:
    """Show the scenarios and what they compare."""
    from harness import catalog, listing

    entries = catalog.chosen(scenario) if scenario else list(catalog.scenarios().values())
    if as_json:
        print(json.dumps([listing.facts(entry) for entry in entries], indent=1))  # noqa: T201
    else:
        (listing.full if scenario else listing.brief)(entries, Console())


@app.command()
def run(  # noqa: PLR0913
    scenario: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[SCENARIO]...",
            help="Names, subjects or exercise numbers (see `rankbench list`), or path/to/file.py:Class. "
            "[default: tying frobenius split]",
        ),
    ] = None,
    *,
    devices: Annotated[
        str | None,
        typer.Option(
            metavar="WHICH", help="cuda, cuda:0,1, cpu or cpu:2 (CPU cores). [default: every GPU, else every core]"
        ),
    ] = None,
    world_sizes: Annotated[
        str | None, typer.Option(metavar="P,P", help="How many devices to compare. [default: powers of two, and all]")
    ] = None,
    launcher: Annotated[
        str | None,
        typer.Option(
            help="torchrun, ray, or inline for one device in this process; torchrun,ray compares both. "
            "[default: torchrun]"
        ),
    ] = None,
    ray_address: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", envvar="RAY_ADDRESS", help="A Ray cluster. [default: a local one]"),
    ] = None,
    placement: Annotated[str, typer.Option(help="Ranks on Ray's nodes: pack, spread or strict-spread.")] = "pack",
    launches: Annotated[
        int | None, typer.Option(metavar="N", help="Fresh groups of processes; intervals need 6. [default: 6]")
    ] = None,
    budget: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="Time to aim for. [default: 0.6 a case and launch, 8 minutes at most]"),
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="S.AXIS=V,V", help="Values of an axis; may be repeated.")
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(help="smoke (two quick launches), chapter (all scenarios), full (at sizes that fill a GPU)."),
    ] = None,
    threads: Annotated[int, typer.Option(metavar="N", help="Threads a rank; on CPU also its cores.")] = 1,
    margin: Annotated[float, typer.Option(metavar="FRACTION", help="Smaller differences count as none.")] = 0.05,
    seed: Annotated[int, typer.Option(help="Of the data and of the order.")] = 0,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The run directory. [default: runs/DATE-TIME]")
    ] = None,
    resume: Annotated[Path | None, typer.Option(metavar="DIR", help="Finish an interrupted run.")] = None,
) -> int:
    """Measure on one device and more; write a report.

    Under `torchrun … -m harness run …` each invocation adds one launch to --out.
    """
    from harness.planner import Wish, make
    from harness.running import measure, only_resume

    console = Console()
    ranks: tuple[int, int] | None = late("launch.run:ranks_around")()
    wish = Wish(
        names=scenario or (),
        devices=devices,
        world_sizes=world_sizes,
        launcher=launcher,
        placement=cast("Placement", placement),
        ray_address=ray_address,
        nodes=late("launch.actors:nodes")(ray_address) if ray_address and "ray" in (launcher or "") else None,
        launches=launches,
        budget_s=budget,
        settings=settings or (),
        seed=seed,
        threads=threads,
        margin=margin,
        preset=preset,
        command=shlex.join(["rankbench", *sys.argv[1:]]),
    )
    if resume is not None:
        only_resume(wish, out)
        directory = RunDir(resume)
        return measure(directory, directory.plan(), console, "launch.run:own")
    directory = RunDir(out or Path("runs") / dt.datetime.now().astimezone().strftime("%Y-%m-%d-%H%M%S"))
    if ranks is not None:
        if out is None:
            raise UsageError(
                "--out", "be given under torchrun, so that all ranks agree on it", "missing", "e.g. --out runs/x"
            )
        return measure(directory, make(wish, ranks), console, "launch.run:joined")
    plan = make(wish)
    directory.create(plan)
    return measure(directory, plan, console, "launch.run:own")


@app.command()
def report(run: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run directories.")]) -> None:
    """Build the table and report.html of a run again."""
    console = Console()
    for path, page in zip(run, late("reports.cli:report")(run), strict=True):
        late("reports.cli:table")(path, console)
        console.print(f"\nreport: {page}", highlight=False, soft_wrap=True)


@app.command()
def compare(
    base: Annotated[Path, typer.Argument(metavar="BASE", help="The run directory to compare with.")],
    new: Annotated[Path, typer.Argument(metavar="NEW", help="The run directory that must not be worse.")],
    *,
    margin: Annotated[
        float | None, typer.Option(metavar="FRACTION", help="Smaller differences count as none. [default: the runs']")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 3 where anything is undecided.")] = False,
    format_: Annotated[
        str, typer.Option("--format", metavar="FORMAT", help="table, markdown (for a pull request), or json.")
    ] = "table",
) -> int:
    """Tell whether NEW is worse than BASE, case by case.

    Only runs of the same devices and regime can be compared; software and code may differ. Exit codes: 0 not found
    worse, 1 slower for certain or broken, 2 not to be compared, 3 undecided (with --strict).
    """
    if margin is not None and not 0 <= margin < 1:
        raise UsageError("--margin", "be a fraction from 0 to below 1", margin, "e.g. --margin 0.02")
    try:
        worse, undecided = late("reports.cli:compare")(base, new, margin, format_, Console())
    except JournalError as error:
        return _complain(error, USAGE)  # 1 would read as a regression
    return NOT_OK if worse else UNDECIDED if strict and undecided else OK


@app.command()
def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run directory.")],
    *,
    format_: Annotated[str, typer.Option("--format", metavar="FORMAT", help="One of those above.")] = "csv",
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Where to. [default: standard output]")] = None,
) -> None:
    """Write a run in the format of another tool.

    \b
    csv          every sample: a row a sample and rank, a column a parameter
    parquet      the same; needs pyarrow
    json         summary.json: every number of the page
    markdown     a comment on a pull request, failures first
    github       the summary of a GitHub job: added to $GITHUB_STEP_SUMMARY where that is set
    junit        JUnit XML: a test case a planned case
    openmetrics  for Prometheus, and GitLab's metrics reports
    github-action-benchmark
                 its customSmallerIsBetter: a chart a case, over the commits
    """  # noqa: D301 - the option parser's own mark: keep these lines
    late("reports.cli:export")(run, format_, out)


@app.command("doctor")
def doctor_() -> int:
    """Look for devices, and for what would disturb."""
    from harness import doctor

    return OK if doctor.show(Console()) else NOT_OK
