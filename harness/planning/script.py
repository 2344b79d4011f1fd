"""From a user's own script to a plan: one comparison, a case for each number of devices."""

import hashlib
import sys
from dataclasses import dataclass
from importlib.machinery import PathFinder
from pathlib import Path
from typing import cast, get_args

from harness import __version__
from harness.common.errors import UsageError
from harness.common.text import nearest
from harness.device import device
from harness.journal.plan import (
    Case,
    Comparison,
    Plan,
    Scaling,
    Script,
    Side,
    StepsBy,
    Value,
    most_launches,
)
from harness.measure.script.step_clock import LEAST_SKIP
from harness.planning.budget import LAUNCHES, above_zero, fraction
from harness.planning.builder import refuse_sharing, world_sizes

SCENARIO = "script"
"""The name of a script's comparison."""
CASE_S = 30.0
"""Default time of a launch for each number of devices."""
STEPS, SKIP = 50, 10
DEADLINE_S = 300.0
"""Time that a script may take before its first step, to compile or to fill a cache."""
REGIME = {
    "alignment": "none: steps follow one another as the script does them",
    "cadence": "consecutive steps of one start of the script",
    "allocator": "the script's",
    "clocks": "as found",
    "affinity": "each rank has cores of its own",
    "cache": "as the step before leaves it",
    "execution": "the script's",
    "check": "none: what the script computes is not checked",
}


@dataclass(frozen=True)
class ScriptRequest:
    """The options of ``script``; None for an option that was not given."""

    program: tuple[str, ...]
    """The script's file, or the module's name, and its arguments."""
    folder: str
    module: bool = False
    devices: str | None = None
    world_sizes: str | None = None
    launches: int | None = None
    budget_s: float | None = None
    deadline_s: float = DEADLINE_S
    steps: int = STEPS
    skip: int = SKIP
    steps_by: str = "optimizer"
    scaling: str | None = None
    """None: derive it from the samples that the ranks' steps receive."""
    threads: int = 1
    margin: str = "5%"
    share_device: bool = False
    seed: int = 0
    command: str = "rankbench script"


def make(request: ScriptRequest) -> Plan:
    """The plan for a script. Raises UsageError."""
    for name, value in (
        ("--threads", request.threads),
        ("--deadline", request.deadline_s),
        ("--steps", request.steps),
        ("--skip", request.skip),
        ("--launches", LAUNCHES if request.launches is None else request.launches),
        ("--budget", CASE_S if request.budget_s is None else request.budget_s),
    ):
        above_zero(name, value)
    if request.skip < LEAST_SKIP:
        rule = f"be at least {LEAST_SKIP}, whose steps show what ends a step"
        raise UsageError("--skip", rule, request.skip, "raise it")
    _one_of("--steps-by", request.steps_by, get_args(StepsBy))
    scaling = "none" if request.scaling is None else request.scaling
    _one_of("--scaling", scaling, get_args(Scaling))
    script = _script(request)
    if (request.devices or "").startswith("emulated"):
        fault = f"{request.devices} cannot run a script, which makes its own process groups"
        raise UsageError("--devices", fault, None, "use --devices cpu or cuda")
    devices = device.parse(request.devices, request.threads, share=request.share_device)
    refuse_sharing(devices, allowed=request.share_device)
    sizes = world_sizes(request.world_sizes, len(devices))
    comparison = _comparison(script, cast("Scaling", scaling), sizes)
    launches = request.launches or LAUNCHES
    if launches > most_launches([comparison]):
        raise UsageError("--launches", f"be at most {most_launches([comparison])}", launches, "use fewer")
    return Plan(
        version=__version__,
        command=request.command,
        sides=(Side(name="torchrun"),),
        devices=devices,
        world_sizes=sizes,
        threads=request.threads,
        launches=launches,
        seed=request.seed,
        budget_s=request.budget_s or launches * len(sizes) * CASE_S,
        strict=request.budget_s is not None,
        deadline_s=request.deadline_s,
        margin=fraction("--margin", request.margin, zero=True, example="5%"),
        gloo_loop="as-is",
        regime=_regime(request),
        script=script,
        comparisons=(comparison,),
    )


def _regime(request: ScriptRequest) -> dict[str, str]:
    ends = "an optimizer has stepped" if request.steps_by == "optimizer" else "the outermost module has returned"
    return REGIME | {
        "steps": f"each ends when {ends}, or where the script marks it",
        "warm-up": f"the first {request.skip} steps of each launch are left out",
        "threads": f"{request.threads} a rank",
    }


def _one_of(option: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise UsageError(option, f"be one of {', '.join(known)}", repr(value), nearest(value, known))


def _script(request: ScriptRequest) -> Script:
    name, *arguments = request.program
    target = name if request.module else str(Path(request.folder, name))
    script = Script(
        target=target,
        module=request.module,
        arguments=tuple(arguments),
        folder=request.folder,
        steps=request.steps,
        skip=request.skip,
        steps_by=cast("StepsBy", request.steps_by),
        detects_scaling=request.scaling is None,
    )
    if _file(script) is None:
        rule = "name a module that can be found from here" if request.module else "be a file"
        raise UsageError("-m" if request.module else "SCRIPT", rule, repr(name), "correct its name")
    return script


def _comparison(script: Script, scaling: Scaling, sizes: tuple[int, ...]) -> Comparison:
    params: dict[str, Value] = {"command": script.words}
    cases = tuple(Case(scenario=SCENARIO, reference=script.target, params=params, world_size=size) for size in sizes)
    title = f"python {script.words}"
    return Comparison(scenario=SCENARIO, title=title, scaling=scaling, params=params, code=code_of(script), cases=cases)


def code_of(script: Script) -> str:
    """Digest of the script's file; empty where there is none any more."""
    file = _file(script)
    return "" if file is None else hashlib.sha256(file.read_bytes()).hexdigest()[:16]


def _file(script: Script) -> Path | None:
    """The file that is run, as far as it can be found without importing the user's code."""
    if not script.module:
        return Path(script.target) if Path(script.target).is_file() else None
    places = [script.folder, *(entry for entry in sys.path if entry)]
    origin: str | None = None
    for part in (*script.target.split("."), "__main__"):
        spec = PathFinder.find_spec(part, places)
        if spec is None:
            return None
        origin, places = spec.origin, list(spec.submodule_search_locations or ())
        if spec.submodule_search_locations is None:
            break
    return Path(origin) if origin and Path(origin).is_file() else None
