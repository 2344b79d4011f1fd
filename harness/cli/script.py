"""The command that measures a user's own script."""

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.options import Budget, Devices, Margin, Out, Seed, ShareDevice, Threads, WorldSizes
from harness.cli.run import command_line, created, measure
from harness.common.errors import UsageError
from harness.common.packages import late
from harness.common.startup import ranks_around


def script(  # noqa: PLR0913
    program: Annotated[
        list[str], typer.Argument(metavar="SCRIPT [ARGS]...", help="What you would give to torchrun: file, arguments.")
    ],
    *,
    module: Annotated[
        bool, typer.Option("-m", "--module", help="SCRIPT is a module's name, as for python -m.")
    ] = False,
    devices: Devices = None,
    world_sizes: WorldSizes = None,
    launches: Annotated[
        int | None, typer.Option(metavar="N", help="Fresh starts on each number of devices. [default: 6]")
    ] = None,
    steps: Annotated[int, typer.Option(metavar="N", help="Steps that are timed in each launch.")] = 50,
    skip: Annotated[int, typer.Option(metavar="N", help="Steps of warm-up before them, which do not count.")] = 10,
    steps_by: Annotated[
        str,
        typer.Option(
            metavar="WHAT", help="What ends a step: optimizer, or forward (a call of the outermost module: inference)."
        ),
    ] = "optimizer",
    scaling: Annotated[
        str | None,
        typer.Option(
            metavar="KIND",
            help="weak: each rank's step has the same samples on any number of devices; strong: all ranks together; "
            "none: no claim. [default: by what its data loaders hand out]",
        ),
    ] = None,
    budget: Budget = None,
    deadline: Annotated[
        float, typer.Option(metavar="SECONDS", help="A script that ends no step for so long hangs, and is given up.")
    ] = 300.0,
    threads: Threads = 1,
    margin: Margin = "5%",
    share_device: ShareDevice = False,
    seed: Seed = 0,
    out: Out = None,
) -> int:
    """Measure your own training script, as it is, on one device and more.

    It is started as torchrun would start it, afresh for each number of devices and launch; it needs no change. Options
    of rankbench stand before it. What it computes is not checked: its cells are marked as unchecked.
    """
    from harness.planning.script import ScriptRequest, make

    if ranks_around() is not None:
        rule = "be called without torchrun: it starts the ranks itself"
        raise UsageError("rankbench script", rule, "a rank of torchrun's", "call it directly")
    plan = make(
        ScriptRequest(
            program=tuple(program),
            folder=str(Path.cwd()),
            module=module,
            devices=devices,
            world_sizes=world_sizes,
            launches=launches,
            budget_s=budget,
            deadline_s=deadline,
            steps=steps,
            skip=skip,
            steps_by=steps_by,
            scaling=scaling,
            threads=threads,
            margin=margin,
            share_device=share_device,
            seed=seed,
            command=command_line(None),
        )
    )
    return measure(created(out, plan), plan, late("launch.run:own"))
