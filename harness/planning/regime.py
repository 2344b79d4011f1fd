"""The regime: how samples are taken. It is written into the plan, and figures of different regimes are not compared."""

from collections.abc import Sequence
from typing import get_args

from harness.common.errors import UsageError
from harness.common.text import nearest
from harness.device import gloo_threads, precision
from harness.device.kinds import kind_of
from harness.journal.emulation import Emulation
from harness.journal.plan import Cache, Execution, GlooLoop
from harness.planning.request import RunRequest

ALWAYS = {
    "alignment": "delay window",
    "cadence": "isolated samples of repeated steps",
    "allocator": "PyTorch's default",
    "clocks": "as found",
    "affinity": "each rank has cores of its own",
}
CACHES: dict[Cache, str] = {
    "hot": "hot: each visit warms up",
    "cold": "cold: the L2 cache is cleared before each sample, of one step",
}
EXECUTIONS: dict[Execution, str] = {
    "eager": "eager",
    "graph": "graph: each step is captured once and replayed",
}


LOOPS: dict[GlooLoop, str] = {
    "background": "in the background: gloo's event loop yields to the step",
    "as-is": "as gloo has it",
}


EMULATED = {
    "clocks": "emulated: each device and its host have clocks of their own",
    "affinity": "ranks share all cores, and no time depends on them",
    "launching": "as a step launches; the device's own time is taken beside it",
}


def regime(request: RunRequest, devices: Sequence[str], emulation: Emulation | None = None) -> dict[str, str]:
    """The measurement regime of a run request on these devices. Raises UsageError."""
    kind = kind_of(devices[0])
    for option, value, known, usual in (
        ("--cache", request.cache, get_args(Cache), "hot"),
        ("--execution", request.execution, get_args(Execution), "eager"),
        ("--gloo-loop", request.gloo_loop, get_args(GlooLoop), None),
    ):
        if value not in known:
            raise UsageError(option, f"be one of {', '.join(known)}", repr(value), nearest(value, known))
        if usual and value != usual and not kind.graphs:
            raise UsageError(
                option,
                f"be {usual} on {'emulated' if emulation else 'CPU'} devices",
                value,
                "leave it out, or use --devices cuda",
            )
    words = {"cache": CACHES[request.cache], "execution": EXECUTIONS[request.execution]}
    if kind.shares_core:
        words["gloo loop"] = LOOPS[request.gloo_loop]
        if request.gloo_loop == "background" and (why := gloo_threads.refusal()):
            remedy = "add --gloo-loop as-is"
            raise UsageError("--gloo-loop", f"be as-is where threads keep their class ({why})", "background", remedy)
    elif request.gloo_loop != "background":
        remedy = "leave it out, or use --devices cpu"
        raise UsageError("--gloo-loop", "be background on GPUs, whose ranks have several cores", "as-is", remedy)
    if emulation is not None:
        words |= EMULATED | {"emulated": emulation.words}
    elif kind.accelerator:
        precision.refuse_override()
        words["precision"] = precision.WORDS
        words["affinity"] = "each rank has cores of its own, near its GPU"
        words["launching"] = "as a step launches; the device's own time is taken beside it"
    if len(set(devices)) < len(devices):
        words["affinity"] = words.get("affinity", "ranks share cores")
        words["collectives"] = "gloo, through the host: ranks share a device"
    return ALWAYS | words | {"threads": f"{request.threads} a rank"}
