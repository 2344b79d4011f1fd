"""The command line. It judges what was asked for, and hands it to ``launch`` and ``reports`` by name, late."""

from __future__ import annotations

import datetime
import importlib
import json
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness import __version__
from harness.errors import RankbenchError, UsageError
from harness.plan import Plan
from harness.rundir import RunDir

OK, NOT_OK, USAGE, INTERRUPTED = 0, 1, 2, 130

app = typer.Typer(
    name="rankbench",
    help="Does my PyTorch work scale over these devices, and why not? "
    "Start with `rankbench run`: it measures on every GPU, or on CPU cores where there is none, and writes a report.",
    rich_markup_mode=None,
    no_args_is_help=True,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def run_app(arguments: Sequence[str]) -> int:
    """Run a command line and return its exit code; whatever the user got wrong is one line on stderr."""
    command = typer.main.get_command(app)
    try:
        return command.main(list(arguments), "rankbench", standalone_mode=False) or OK
    except UsageError as error:
        return _complain(error, USAGE)
    except RankbenchError as error:
        return _complain(error, NOT_OK)
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except Exception as error:
        if hasattr(error, "format_message"):  # of the option parser
            return _complain(f"{error.format_message()} See `rankbench --help`.", USAGE)
        raise


def _complain(text: object, code: int) -> int:
    if os.environ.get("RANK", "0") == "0":  # the other ranks of somebody's torchrun have the same to say
        print(f"rankbench: {text}", file=sys.stderr)  # noqa: T201
    return code


def _late(name: str) -> Callable[..., Any]:
    """The function at ``module:function``, imported now: ``harness`` depends on nothing that depends on it."""
    module, _, function = name.partition(":")
    made: Callable[..., Any] = getattr(importlib.import_module(module), function)
    return made


def _version(*, asked: bool) -> None:
    if asked:
        Console().print(f"rankbench {__version__}", highlight=False)
        raise typer.Exit


@app.callback()
def _main(
    *,
    version: Annotated[bool, typer.Option("--version", callback=lambda asked: _version(asked=asked), is_eager=True, help="Print the version.")] = False,
) -> None:
    del version


@app.command("list")
def list_(*, as_json: Annotated[bool, typer.Option("--json", help="As JSON, for scripts.")] = False) -> None:
    """Show the scenarios: exercise, what they compare, axes, scaling kind."""
    from harness import catalog

    entries = catalog.scenarios().values()
    if as_json:
        print(json.dumps([_told(entry) for entry in entries], indent=1))  # noqa: T201
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("scenario", "exercise", "compares", "axes", "scaling"):
        table.add_column(column, overflow="fold")
    for entry in entries:
        told = _told(entry)
        compares = f"{told['arm']}: {', '.join(told['arms'])}" if told["arm"] else "-"
        axes = ", ".join(f"{name}={value}" for name, value in told["axes"].items())
        table.add_row(*map(Text, (entry.name, ", ".join(entry.exercises), compares, axes, entry.scaling)))
        table.add_row("", "", Text(entry.title, "dim"), "", "")
    console = Console()
    console.print(table)
    console.print("\nMeasure one with `rankbench run NAME`; set an axis with `--set NAME.AXIS=V1,V2`.", highlight=False)


def _told(entry: Any) -> dict[str, Any]:
    return {
        "name": entry.name,
        "title": entry.title,
        "exercises": list(entry.exercises),
        "arm": entry.arm_field,
        "arms": list(entry.arms),
        "axes": {name: value for name, value in entry.defaults.items() if name != entry.arm_field},
        "scaling": entry.scaling,
        "reference": entry.reference,
    }


@app.command()
def run(  # noqa: PLR0913
    scenario: Annotated[list[str] | None, typer.Argument(metavar="[SCENARIO]...", help="Names or exercise numbers (see `rankbench list`), or path/to/file.py:Class. [default: all]")] = None,
    *,
    devices: Annotated[str | None, typer.Option(metavar="WHICH", help="cuda, cuda:0,1, cpu or cpu:2 (CPU cores). [default: every GPU, else every core]")] = None,
    world_sizes: Annotated[str | None, typer.Option(metavar="P,P", help="How many devices to compare. [default: powers of two, and all]")] = None,
    launcher: Annotated[str | None, typer.Option(help="torchrun, or inline for one device in this process. [default: torchrun]")] = None,
    launches: Annotated[int | None, typer.Option(metavar="N", help="Fresh groups of processes; intervals need 6. [default: 6]")] = None,
    budget: Annotated[float | None, typer.Option(metavar="SECONDS", help="Time to measure for. [default: 0.7 a case and launch]")] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", metavar="S.AXIS=V,V", help="Values of an axis; may be repeated.")] = None,
    preset: Annotated[str | None, typer.Option(help="smoke (two quick launches), chapter (all scenarios), full (all values of their axes).")] = None,
    threads: Annotated[int, typer.Option(metavar="N", help="Threads a rank; on CPU also its cores.")] = 1,
    margin: Annotated[float, typer.Option(metavar="FRACTION", help="Smaller differences count as none.")] = 0.05,
    seed: Annotated[int, typer.Option(help="Of the data and of the order.")] = 0,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="The run directory. [default: runs/DATE-TIME]")] = None,
    resume: Annotated[Path | None, typer.Option(metavar="DIR", help="Finish an interrupted run.")] = None,
) -> int:
    """Measure scenarios on one and more devices, and write a report.

    Under `torchrun … -m harness run …` each invocation adds one launch to --out.
    """
    from harness.planner import Wish, make

    console = Console()
    ranks: int | None = _late("launch.run:ranks_around")()
    command = shlex.join(["rankbench", *sys.argv[1:]])
    wish = Wish(
        scenario or (), devices, world_sizes, launcher, launches, budget, settings or (), seed, threads, margin, preset, command
    )  # fmt: skip
    if resume is not None:
        _only_resume(wish, out)
        directory = RunDir(resume)
        return _measure(directory, directory.plan(), console, "launch.run:own")
    directory = RunDir(out or Path("runs") / datetime.datetime.now().astimezone().strftime("%Y-%m-%d-%H%M%S"))
    if ranks is not None:
        if out is None:
            raise UsageError("--out", "be given under torchrun, so that all ranks agree on it", "missing", "e.g. --out runs/x")
        return _measure(directory, make(wish, ranks), console, "launch.run:joined")
    plan = make(wish)
    directory.create(plan)
    return _measure(directory, plan, console, "launch.run:own")


def _only_resume(wish: Any, out: Path | None) -> None:
    """A resumed run follows its own plan."""
    from harness.planner import Wish

    if out is not None or wish != Wish(command=wish.command):
        raise UsageError("--resume", "stand alone: the run's plan says what to measure", "beside other options", "drop them")


def _measure(directory: RunDir, plan: Plan, console: Console, how: str) -> int:
    """Measure, then report: also after an interruption, on what there is."""
    interrupted, well = False, False
    try:
        well = _late(how)(directory, plan, console)
    except KeyboardInterrupt:
        interrupted = True
    if os.environ.get("RANK", "0") == "0":
        (page,) = _late("reports.cli:report")([directory.root])
        _late("reports.cli:table")(directory.root, console)
        console.print(f"\nreport: {page}", highlight=False, soft_wrap=True)
        if interrupted:
            console.print(f"interrupted; finish it with: rankbench run --resume {directory.root}", highlight=False, soft_wrap=True)
    return INTERRUPTED if interrupted else OK if well else NOT_OK


@app.command()
def report(run: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run directories.")]) -> None:
    """(Re)build the table, summary.json and report.html from the journal of a run."""
    console = Console()
    for path, page in zip(run, _late("reports.cli:report")(run), strict=True):
        _late("reports.cli:table")(path, console)
        console.print(f"\nreport: {page}", highlight=False, soft_wrap=True)


@app.command()
def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run directory.")],
    *,
    format_: Annotated[str, typer.Option("--format", metavar="FORMAT", help="csv: one row a sample and rank.")] = "csv",
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Where to. [default: standard output]")] = None,
) -> None:
    """Write a run's samples in a format of other tools."""
    _late("reports.cli:export")(run, format_, out)


@app.command()
def doctor() -> int:
    """Say what this machine offers, what would disturb a measurement, and what is missing."""
    from harness.doctor import examine

    findings = examine()
    marks = {"good": ("ok", "green"), "fact": ("--", "dim"), "warn": ("!!", "yellow"), "bad": ("XX", "red")}
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column()
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for finding in findings:
        mark, style = marks[finding.grade]
        table.add_row(Text(mark, style), finding.subject, Text(finding.text))
    Console().print(table)
    return NOT_OK if any(finding.grade == "bad" for finding in findings) else OK
