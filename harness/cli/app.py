"""The command line. It judges what was asked for, and hands it to ``launch`` and ``reports`` by name, late."""

import json
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from harness import __version__
from harness.cli import run as measuring
from harness.cli.check import check
from harness.cli.console import Terminal, complain, open_standard_streams
from harness.cli.script import script
from harness.common.errors import INTERRUPTED, NOT_OK, OK, UNDECIDED, USAGE, JournalError, RankbenchError, UsageError
from harness.common.packages import late
from harness.common.signals import handled, name_of
from harness.common.startup import is_rank

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
    open_standard_streams()
    if os.environ.get("COLUMNS") == "0":  # of a terminal that does not know its width: nothing would fit
        del os.environ["COLUMNS"]
    if is_rank():  # what a rank does while it waits for its peers can be ended by nothing but a kill
        return _run(arguments)
    ended_by: list[str] = []

    def end(number: signal.Signals) -> None:
        ended_by.append(name_of(number))
        raise KeyboardInterrupt(name_of(number))

    with handled(end):
        code = _run(arguments)
    if ended_by:
        complain(f"ended by {ended_by[0]}")
    return code


def _run(arguments: Sequence[str]) -> int:
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
        usage_message = getattr(error, "format_message", None)  # the option parser's own errors
        if usage_message is None:
            raise
        return _complain(f"{usage_message().rstrip('.')}; see `rankbench --help`", USAGE)


def _complain(text: object, code: int) -> int:
    complain(text)
    return code


def _version(*, asked: bool) -> None:
    if asked:
        Terminal().print(f"rankbench {__version__}", highlight=False)
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
    """List the scenarios and the variants that they compare."""
    from harness.cli import listing
    from harness.plugins import registry

    entries, faults = (registry.chosen(scenario), []) if scenario else registry.installed()
    if as_json:
        print(json.dumps([listing.facts(entry) for entry in entries], indent=1))  # noqa: T201
    else:
        (listing.full if scenario else listing.brief)(entries, Terminal())
    for fault in faults:
        complain(fault)


app.command()(measuring.run)
app.command()(measuring.duel)
app.command()(check)
app.command(context_settings={"allow_interspersed_args": False})(script)


@app.command()
def report(run: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run directories.")]) -> None:
    """Rebuild the table and report.html of each run; for several comparable runs also write history.html."""
    console, done = Terminal(), []
    for reported in late("reports.cli:report")(run):
        reported.show(console)
        done.append(reported)
    if len(done) > 1:
        late("reports.cli:history")(done, console)


@app.command()
def compare(  # noqa: PLR0913
    base: Annotated[Path, typer.Argument(metavar="BASE", help="The run directory to compare with.")],
    new: Annotated[Path, typer.Argument(metavar="NEW", help="The run directory that must not be worse.")],
    *,
    margin: Annotated[
        str | None, typer.Option(metavar="FRACTION", help="Smaller differences count as none. [default: the runs']")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 3 if anything is undecided.")] = False,
    format_: Annotated[
        str, typer.Option("--format", metavar="FORMAT", help="table, markdown (for a pull request), or json.")
    ] = "table",
    accept_unchecked: Annotated[
        bool, typer.Option("--accept-unchecked", help="Give verdicts on scripts, whose results nobody has checked.")
    ] = False,
) -> int:
    """Compare NEW with BASE, case by case.

    Both runs need the same devices and regime; software and code may differ. Exit codes: 0 nothing found slower,
    1 a case is slower beyond margin and noise, or broken, 2 the runs cannot be compared, 3 undecided (with --strict).
    """
    from harness.planning.budget import fraction

    least = None if margin is None else fraction("--margin", margin, zero=True, example="2%")
    try:
        worse, undecided = late("reports.cli:compare")(
            base, new, least, format_, Terminal(), accept_unchecked=accept_unchecked
        )
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
    csv          every sample: one row per sample and rank, one column per parameter
    parquet      the same; needs pyarrow
    json         summary.json: every number of the page
    markdown     a comment on a pull request, failures first
    github       the summary of a GitHub job: appended to $GITHUB_STEP_SUMMARY if that is set
    junit        JUnit XML: one test case per planned case
    openmetrics  for Prometheus, and GitLab's metrics reports
    github-action-benchmark
                 its customSmallerIsBetter: one chart per case, over the commits
    """  # noqa: D301 - the option parser's own mark: keep these lines
    late("reports.cli:export")(run, format_, out)


@app.command("selftest")
def selftest_(
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where to leave the runs and their pages. [default: nowhere]")
    ] = None,
) -> int:
    """Plant known causes on emulated devices, and see whether the report names each: exit code 1 if not.

    Takes about a minute on two cores.
    """
    from harness.cli import selftest

    with TemporaryDirectory(prefix="rankbench-selftest-") as folder:
        return OK if selftest.run(Path(folder) if out is None else out, Terminal()) else NOT_OK


@app.command("doctor")
def doctor_() -> int:
    """List the devices of this machine, and causes of disturbed measurements."""
    from harness.cli import doctor

    return OK if doctor.show(Terminal()) else NOT_OK
