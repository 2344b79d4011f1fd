"""Options that several commands have, as the option parser reads them."""

from pathlib import Path
from typing import Annotated

import typer

Names = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[SCENARIO]...",
        help="Names, subjects or exercise numbers (see `rankbench list`), or path/to/file.py:Class. "
        "[default: tying frobenius split]",
    ),
]
Devices = Annotated[
    str | None,
    typer.Option(
        metavar="WHICH",
        help="cuda, cuda:0,1, cpu or cpu:2 (CPU cores), emulated:8 or emulated:4x8 (hosts x devices, whose times are "
        "planted). [default: every GPU, else every core]",
    ),
]
Emulate = Annotated[
    list[str] | None,
    typer.Option(
        "--emulate",
        metavar="TOML",
        help="What is planted in emulated devices: a file.toml, or a line such as slow_ranks.3=1.2; may be repeated.",
    ),
]
WorldSizes = Annotated[
    str | None, typer.Option(metavar="P,P", help="How many devices to compare. [default: powers of two, and all]")
]
Budget = Annotated[
    float | None,
    typer.Option(metavar="SECONDS", help="Time to aim for. [default: 0.6 a case and launch, 8 minutes at most]"),
]
Deadline = Annotated[
    float, typer.Option(metavar="SECONDS", help="Give up a case that makes no progress for this long.")
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="S.AXIS=V,V", help="Values of an axis, \\, for a comma; may be repeated."),
]
Preset = Annotated[
    str | None,
    typer.Option(help="smoke (two quick launches), chapter (all scenarios), full (at sizes that fill a GPU)."),
]
Threads = Annotated[int, typer.Option(metavar="N", help="Threads per rank; on CPU also cores per rank.")]
Precision = Annotated[
    str | None,
    typer.Option(
        metavar="FRACTION", help="Add launches until all intervals are this narrow, e.g. 2%, or --budget is spent."
    ),
]
Margin = Annotated[str, typer.Option(metavar="FRACTION", help="Differences below this count as no difference.")]
Seed = Annotated[int, typer.Option(help="Seed of the data and of the measuring order.")]
CacheState = Annotated[
    str, typer.Option(help="hot, or cold: the GPU's L2 cache is cleared before each sample, which is of one step.")
]
ExecutionMode = Annotated[str, typer.Option(help="eager, or graph: steps are captured as CUDA graphs and replayed.")]
GlooLoopMode = Annotated[
    str,
    typer.Option(
        "--gloo-loop",
        metavar="HOW",
        help="background, or as-is: whether gloo's event loop yields to the step on a CPU device's core.",
    ),
]
ShareDevice = Annotated[
    bool,
    typer.Option(
        "--share-device",
        help="Let ranks share a GPU that --devices names twice, or CPU cores that it names too many of: for testing; "
        "nothing scales then.",
    ),
]
Profile = Annotated[
    bool,
    typer.Option(
        "--profile", help="Also trace a few steps of each case, after everything is measured; the report links them."
    ),
]
Out = Annotated[Path | None, typer.Option(metavar="DIR", help="The run directory. [default: runs/DATE-TIME]")]
