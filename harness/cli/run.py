"""The commands that measure: ``run``, and ``duel`` between two environments."""

import datetime as dt
import shlex
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import IO, Annotated, cast

import typer
from rich.console import Console

from harness.cli.console import Output, Terminal, complain
from harness.cli.options import (
    Budget,
    CacheState,
    Deadline,
    Devices,
    Emulate,
    ExecutionMode,
    GlooLoopMode,
    Margin,
    Names,
    Out,
    Precision,
    Preset,
    Profile,
    Seed,
    Settings,
    ShareDevice,
    Threads,
    WorldSizes,
)
from harness.common.errors import (
    INTERRUPTED,
    NOT_OK,
    OK,
    UNDECIDED,
    FullError,
    JournalError,
    RankbenchError,
    UsageError,
)
from harness.common.packages import late
from harness.common.startup import Ranks, program, ranks_around, refuse_restart, refuse_without_asserts
from harness.device.host_limits import allow_open_files
from harness.journal.plan import DEADLINE_S, Cache, Execution, GlooLoop, Placement, Plan
from harness.journal.run_directory import RunDir
from harness.planning.request import RunRequest


def only_resume(request: RunRequest, out: Path | None) -> None:
    """Raise UsageError for anything beside ``--resume``: a resumed run follows its own plan."""
    if out is not None or request != RunRequest(command=request.command, ray_address=request.ray_address):
        raise UsageError(
            "--resume", "stand alone: the run's plan says what to measure", "beside other options", "drop them"
        )


Measurer = Callable[[RunDir, Plan, Console], bool]
"""Measures what is missing of a run; tells whether all cells are ok."""


def measure(directory: RunDir, plan: Plan, how: Measurer, *, strict: bool = False) -> int:
    """Measure by ``how``, then report on what there is. Returns the exit code: a duel's is its outcome.

    ``strict``: a duel that leaves something undecided is not ok.
    """
    console = Terminal(file=cast("IO[str]", Output()))
    ranks = ranks_around()
    interrupted, well = _measured(directory, plan, how, console)
    reported = None
    if directory.exists() and (ranks is None or ranks.rank == 0):
        try:
            (reported,) = late("reports.cli:report")([directory.root])
            reported.show(console)
        except OSError as error:
            complain(
                f"no report: {directory.root} cannot be written ({error.strerror}); rankbench report makes it later"
            )
            return NOT_OK if interrupted is None else INTERRUPTED
        if interrupted is not None:
            by = f" by {interrupted}" if interrupted else ""
            again = f"interrupted{by}; finish it with: {_resumption(directory, plan)}"
            console.print(again, highlight=False, soft_wrap=True)
        elif not well:
            if ranks is None and (logs := directory.root / "logs").is_dir() and any(logs.iterdir()):
                console.print(f"what the ranks printed is in {logs}", highlight=False, soft_wrap=True)
            again = f"measure what is not ok again with: {_resumption(directory, plan)} --retry-failed"
            console.print(again, highlight=False, soft_wrap=True)
    if interrupted is not None or not well:
        return NOT_OK if interrupted is None else INTERRUPTED
    if not plan.is_duel or reported is None:
        return OK
    slower, undecided = reported.outcome
    return NOT_OK if slower else UNDECIDED if undecided and strict else OK


def _resumption(directory: RunDir, plan: Plan) -> str:
    """The command line that finishes a run."""
    where = f"on each of the {plan.hosts} hosts: " if plan.hosts > 1 else ""
    return f"{where}{plan.program} run --resume {shlex.quote(str(directory.root))}"


def _measured(directory: RunDir, plan: Plan, how: Measurer, console: Console) -> tuple[str | None, bool]:
    """Measure; the signal that interrupted it, and whether all cells are ok. What ends it is said, and no loss.

    The signal is None where nothing interrupted it, and empty where no one knows which.
    """
    try:
        return None, how(directory, plan, console)
    except KeyboardInterrupt as error:
        return str(error), False
    except FullError as error:
        complain(f"{error}, and finish the run with: {_resumption(directory, plan)}")
    except (UsageError, JournalError):
        raise
    except RankbenchError as error:
        complain(error)
    return None, False


MOST_AT_ONCE = 1000
"""Runs that start within one second in one folder."""


def run(  # noqa: PLR0913
    scenario: Names = None,
    *,
    devices: Devices = None,
    emulate: Emulate = None,
    world_sizes: WorldSizes = None,
    launcher: Annotated[
        str | None,
        typer.Option(
            help="torchrun, ray, or inline for one device in this process; torchrun,ray compares both. "
            "[default: torchrun]"
        ),
    ] = None,
    ray_address: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT", help="A Ray cluster, also of --resume. [default: RAY_ADDRESS, else a local one]"
        ),
    ] = None,
    placement: Annotated[str, typer.Option(help="Ranks on Ray's nodes: pack, spread or strict-spread.")] = "pack",
    launches: Annotated[
        int | None,
        typer.Option(metavar="N", help="Fresh groups of processes, by each launcher; intervals need 6. [default: 6]"),
    ] = None,
    budget: Budget = None,
    deadline: Deadline = DEADLINE_S,
    precision: Precision = None,
    settings: Settings = None,
    preset: Preset = None,
    threads: Threads = 1,
    margin: Margin = "5%",
    cache: CacheState = "hot",
    execution: ExecutionMode = "eager",
    gloo_loop: GlooLoopMode = "background",
    share_device: ShareDevice = False,
    profile: Profile = False,
    seed: Seed = 0,
    out: Out = None,
    resume: Annotated[Path | None, typer.Option(metavar="DIR", help="Finish an interrupted run.")] = None,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="With --resume: measure failed cells again.")
    ] = False,
) -> int:
    """Measure on one device and more; write a report.

    Under `torchrun … -m harness run …` each invocation adds one launch to --out.
    """
    from harness.planning.builder import make
    from harness.planning.ray_address import address_of, nodes_of, resumed

    refuse_without_asserts()
    address = address_of(ray_address)
    ranks = ranks_around()
    if ranks is not None:
        refuse_restart()
    request = RunRequest(
        names=scenario or (),
        devices=devices,
        emulate=emulate or (),
        world_sizes=world_sizes,
        launcher=launcher,
        placement=cast("Placement", placement),
        ray_address=address.text if address else None,
        nodes=None if resume else nodes_of(address, launcher),
        launches=launches,
        budget_s=budget,
        deadline_s=deadline,
        precision=precision,
        settings=settings or (),
        seed=seed,
        threads=threads,
        margin=margin,
        cache=cast("Cache", cache),
        execution=cast("Execution", execution),
        gloo_loop=cast("GlooLoop", gloo_loop),
        share_device=share_device,
        profile=profile,
        preset=preset,
        command=command_line(ranks),
    )
    if ranks is not None:
        return _joined(request, ranks, out, resume, retry_failed)
    if resume is not None:
        only_resume(request, out)
        directory = _named("--resume", resume)
        measure_here = partial(late("launch.run:own"), retry_failed=retry_failed)
        plan = resumed(directory.plan(), address)
        _refuse_several_hosts(directory, plan)
        _refuse_other_code(plan)
        return measure(directory, plan, measure_here)
    if retry_failed:
        raise UsageError("--retry-failed", "come with --resume", "alone", "add --resume DIR")
    plan = make(request)
    _tell_left_out(request)
    return measure(created(out, plan), plan, late("launch.run:own"))


def _joined(request: RunRequest, ranks: Ranks, out: Path | None, resume: Path | None, retry_failed: bool) -> int:  # noqa: FBT001
    """As a rank of somebody's torchrun: one more launch of --out, or what is missing of --resume."""
    from harness.planning.builder import make

    with late("launch.processes.meeting:meeting")(ranks) as met:
        if resume is not None:
            only_resume(request, out)
            directory = _named("--resume", resume)
            plan = directory.plan() if ranks.rank == 0 else None
            if plan is not None:
                _refuse_other_code(plan)
                _refuse_other_ranks(directory, plan, ranks)
            plan = met.join(f"resume{' and retry' * retry_failed}", request.command, plan)
            how = partial(late("launch.external:joined"), met=met, resume=late("launch.external:Resume")(retry_failed))
            return measure(directory, plan, how)
        if retry_failed:
            raise UsageError("--retry-failed", "come with --resume", "alone", "add --resume DIR")
        if out is None:
            rule, remedy = "be given under torchrun, so that all ranks agree on it", "e.g. --out runs/x"
            raise UsageError("--out", rule, "missing", remedy)
        plan = make(request, (ranks.size, ranks.local_size))
        met.join(f"{plan.identity} {ranks.local_size}", request.command, plan)
        return measure(_named("--out", out), plan, partial(late("launch.external:joined"), met=met))


def _refuse_other_ranks(directory: RunDir, plan: Plan, ranks: Ranks) -> None:
    """Raise UsageError where torchrun's ranks are not placed as the run's are, or are not the run's launcher."""
    if [side.launcher for side in plan.sides] != ["torchrun"]:
        rule, remedy = "name a run of torchrun alone under torchrun", f"give {_resumption(directory, plan)}"
        raise UsageError("--resume", rule, f"{directory.root}, of {plan.launcher}", remedy)
    if (len(plan.devices), plan.ranks_per_host or len(plan.devices)) != (ranks.size, ranks.local_size):
        rule = f"start as many ranks on each host as the run has, {plan.ranks_per_host or len(plan.devices)}"
        value = f"{ranks.local_size}, and {ranks.size} in all"
        raise UsageError("torchrun", rule, value, f"finish the run with: {_resumption(directory, plan)}")


def _refuse_several_hosts(directory: RunDir, plan: Plan) -> None:
    """Raise UsageError where a run's ranks are on several hosts, by torchrun: one host cannot finish it alone."""
    if plan.hosts > 1:
        rule = "be finished on the hosts where it was begun"
        raise UsageError("--resume", rule, f"{directory.root}, on one of them", f"give {_resumption(directory, plan)}")


def duel(  # noqa: PLR0913
    scenario: Names = None,
    *,
    a: Annotated[
        str,
        typer.Option(
            "--a", metavar="SIDE", help="Words: NAME=value, an interpreter or a virtual environment. [default: as here]"
        ),
    ] = "",
    b: Annotated[str, typer.Option("--b", metavar="SIDE", help="The same of the other environment.")] = "",
    devices: Devices = None,
    world_sizes: WorldSizes = None,
    turns: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Launches of each side. [default: what the cases need, at least 6, and more until ratios are known to "
            "half the margin]",
        ),
    ] = None,
    budget: Budget = None,
    deadline: Deadline = DEADLINE_S,
    precision: Precision = None,
    settings: Settings = None,
    preset: Preset = None,
    threads: Threads = 1,
    margin: Margin = "5%",
    cache: CacheState = "hot",
    execution: ExecutionMode = "eager",
    gloo_loop: GlooLoopMode = "background",
    share_device: ShareDevice = False,
    seed: Seed = 0,
    out: Out = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 3 where anything is undecided.")] = False,
) -> int:
    """Tell whether environment B is slower than A: exit code 1 if so, for certain.

    Their fresh launches alternate in random order, beside launches of A once more: a difference is what lies beyond
    that. E.g. rankbench duel --a NCCL_ALGO=Ring --b NCCL_ALGO=Tree, or --b /opt/new-torch/bin/python.
    """
    from harness.device import fingerprint
    from harness.planning import sides
    from harness.planning.builder import make

    refuse_without_asserts()
    request = RunRequest(
        names=scenario or (),
        devices=devices,
        world_sizes=world_sizes,
        sides=sides.of_duel(a, b),
        launches=turns,
        budget_s=budget,
        deadline_s=deadline,
        precision=precision,
        settings=settings or (),
        seed=seed,
        threads=threads,
        margin=margin,
        cache=cast("Cache", cache),
        execution=cast("Execution", execution),
        gloo_loop=cast("GlooLoop", gloo_loop),
        share_device=share_device,
        preset=preset,
        command=command_line(None),
    )
    plan = make(request)
    _tell_left_out(request)
    for side in plan.sides:
        fingerprint.described_by(side, plan.devices, fingerprint.code_of(plan))  # or it is refused before all else
    return measure(created(out, plan), plan, late("launch.run:own"), strict=strict)


def _refuse_other_code(plan: Plan) -> None:
    """Raise UsageError where a scenario is not what it was when the run was planned: no median is of two programs."""
    from harness.plugins import registry, source_digest

    if plan.script is not None:
        from harness.planning.script import code_of

        if plan.comparisons[0].code != code_of(plan.script):
            value = f"{plan.script.name}, which has changed since"
            raise UsageError("--resume", "measure what was planned", value, "put it back, or start another run")
        return
    for comparison in plan.comparisons:
        reference = next(case.reference for case in comparison.cases if not case.probe)
        if comparison.code and source_digest.digest(registry.load(reference).cls) != comparison.code:
            value = f"{comparison.scenario}, whose code has changed since"
            raise UsageError("--resume", "measure what was planned", value, "put it back, or start another run")


def created(out: Path | None, plan: Plan) -> RunDir:
    """A new run directory with the plan. Raises UsageError, before anything is written, where it cannot be measured."""
    allow_open_files(len(plan.devices))
    directory = _directory(out)
    directory.create(plan)
    return directory


def _tell_left_out(request: RunRequest) -> None:
    """Say which installed scenarios a preset that takes all of them cannot take."""
    from harness.planning.builder import EVERY_SCENARIO
    from harness.plugins import registry

    if request.preset in EVERY_SCENARIO and not request.names:
        for fault in registry.installed()[1]:
            complain(f"left out: {fault}")


def command_line(ranks: Ranks | None) -> str:
    """The command line of this process, as a plan keeps it."""
    begin = program(ranks.size, ranks.local_size) if ranks else program(1, None)
    return f"{begin} {shlex.join(sys.argv[1:])}".encode(errors="replace").decode()  # bytes that are no text


def _directory(out: Path | None) -> RunDir:
    """The run directory that was asked for; else a new one, which no run that starts in this second has too."""
    if out is not None:
        return _named("--out", out)
    stamp = dt.datetime.now().astimezone().strftime("%Y-%m-%d-%H%M%S")
    for name in (stamp, *(f"{stamp}-{number}" for number in range(2, MOST_AT_ONCE))):
        root = Path("runs", name)
        try:
            root.mkdir(parents=True)
        except FileExistsError:
            continue
        except OSError as error:
            raise UsageError("--out", "be writable", f"{root} ({error.strerror})", "choose another") from None
        return RunDir(root)
    raise UsageError("--out", "be given for so many runs at once", "missing", "e.g. --out runs/x")


def _named(option: str, root: Path) -> RunDir:
    """The run directory of a name. Raises UsageError where that cannot be written down."""
    try:
        str(root.absolute()).encode()
    except UnicodeEncodeError:
        remedy = "choose another, or a locale that has its characters"
        raise UsageError(option, "have a path that is text", ascii(str(root)), remedy) from None
    return RunDir(root)
