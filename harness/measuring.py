"""The commands that measure: ``run``, and ``duel`` between two environments."""

from __future__ import annotations

import datetime as dt
import os
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any, cast

import typer
from rich.console import Console

from harness.errors import UsageError
from harness.late import INTERRUPTED, NOT_OK, OK, UNDECIDED, late
from harness.options import Budget, Devices, Margin, Names, Out, Preset, Seed, Settings, Threads, WorldSizes
from harness.plan import Placement, Plan
from harness.rundir import RunDir


def run(  # noqa: PLR0913
    scenario: Names = None,
    *,
    devices: Devices = None,
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
        typer.Option(metavar="HOST:PORT", envvar="RAY_ADDRESS", help="A Ray cluster. [default: a local one]"),
    ] = None,
    placement: Annotated[str, typer.Option(help="Ranks on Ray's nodes: pack, spread or strict-spread.")] = "pack",
    launches: Annotated[
        int | None,
        typer.Option(metavar="N", help="Fresh groups of processes, by each launcher; intervals need 6. [default: 6]"),
    ] = None,
    budget: Budget = None,
    settings: Settings = None,
    preset: Preset = None,
    threads: Threads = 1,
    margin: Margin = 0.05,
    seed: Seed = 0,
    out: Out = None,
    resume: Annotated[Path | None, typer.Option(metavar="DIR", help="Finish an interrupted run.")] = None,
) -> int:
    """Measure on one device and more; write a report.

    Under `torchrun … -m harness run …` each invocation adds one launch to --out.
    """
    from harness.planner import Wish, make

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
        command=_command(),
    )
    if resume is not None:
        _only_resume(wish, out)
        directory = RunDir(resume)
        return _measure(directory, directory.plan(), "launch.run:own")
    if ranks is not None:
        if out is None:
            raise UsageError(
                "--out", "be given under torchrun, so that all ranks agree on it", "missing", "e.g. --out runs/x"
            )
        return _measure(RunDir(out), make(wish, ranks), "launch.run:joined")
    plan = make(wish)
    directory = _directory(out)
    directory.create(plan)
    return _measure(directory, plan, "launch.run:own")


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
        int | None, typer.Option(metavar="N", help="Launches of each side. [default: what the cases need, at least 6]")
    ] = None,
    budget: Budget = None,
    settings: Settings = None,
    preset: Preset = None,
    threads: Threads = 1,
    margin: Margin = 0.05,
    seed: Seed = 0,
    out: Out = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 3 where anything is undecided.")] = False,
) -> int:
    """Tell whether environment B is slower than A: exit code 1 if so, for certain.

    Their fresh launches alternate in random order, beside launches of A once more: what tells A from A is the margin.
    E.g. rankbench duel --a NCCL_ALGO=Ring --b NCCL_ALGO=Tree, or --b /opt/new-torch/bin/python.
    """
    from harness import environment, sides
    from harness.planner import Wish, make

    wish = Wish(
        names=scenario or (),
        devices=devices,
        world_sizes=world_sizes,
        sides=sides.of_duel(a, b),
        launches=turns,
        budget_s=budget,
        settings=settings or (),
        seed=seed,
        threads=threads,
        margin=margin,
        preset=preset,
        command=_command(),
    )
    plan = make(wish)
    for side in plan.sides:
        environment.described_by(side, plan.devices)  # or it is refused, before anything is written
    directory = _directory(out)
    directory.create(plan)
    return _measure(directory, plan, "launch.run:own", strict=strict)


def _command() -> str:
    return shlex.join(["rankbench", *sys.argv[1:]])


def _directory(out: Path | None) -> RunDir:
    return RunDir(out or Path("runs") / dt.datetime.now().astimezone().strftime("%Y-%m-%d-%H%M%S"))


def _only_resume(wish: Any, out: Path | None) -> None:
    """A resumed run follows its own plan."""
    from harness.planner import Wish

    if out is not None or wish != Wish(command=wish.command):
        raise UsageError(
            "--resume", "stand alone: the run's plan says what to measure", "beside other options", "drop them"
        )


def _measure(directory: RunDir, plan: Plan, how: str, *, strict: bool = False) -> int:
    """Measure, then report: also after an interruption, on what there is. Of a duel the exit code is its outcome."""
    console = Console()
    interrupted, well = False, False
    try:
        well = late(how)(directory, plan, console)
    except KeyboardInterrupt:
        interrupted = True
    if os.environ.get("RANK", "0") == "0":
        (page,) = late("reports.cli:report")([directory.root])
        late("reports.cli:table")(directory.root, console)
        console.print(f"\nreport: {page}", highlight=False, soft_wrap=True)
        if interrupted:
            console.print(
                f"interrupted; finish it with: rankbench run --resume {directory.root}", highlight=False, soft_wrap=True
            )
    if interrupted or not well:
        return INTERRUPTED if interrupted else NOT_OK
    if not plan.is_duel:
        return OK
    slower, undecided = late("reports.cli:outcome")(directory.root)
    return NOT_OK if slower else UNDECIDED if undecided and strict else OK
