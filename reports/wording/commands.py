"""The command line that measures one case again: of its run nothing else, or of a packed copy what it is a copy of."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from harness.common.packages import HOME
from harness.common.startup import on_each_host
from harness.journal.plan import DEADLINE_S, Case, Plan, Side
from harness.plugins.fields import written

AGAIN = "runs/again"
"""A run directory for a case that is measured again by ranks on several hosts, who have to agree on it."""


def command(plan: Plan, side: Side, case: Case, spread: Sequence[int] = ()) -> str:
    """One launch of a case that is no probe, as on that side, on as many of the run's devices as it needs.

    ``spread`` are the ranks on each host, where torchrun has started them on several: then it is for each host.
    """
    several = len(spread) > 1 and side.launcher == "torchrun"
    ours = case.reference.startswith("scenarios.") and not side.python  # which need not have these installed
    name = case.scenario if ours else case.reference
    used = plan.devices[: case.world_size]
    options: dict[str, object] = {
        "--devices": _devices(used),
        "--world-sizes": f"1,{case.world_size}" if case.packed else case.world_size,
        "--launcher": side.launcher,
        "--launches": 1,
    }
    if several:
        kind = plan.devices[0].partition(":")[0]
        options = {"--devices": f"{kind}:{spread[0]}", "--world-sizes": options["--world-sizes"], "--out": AGAIN}
    given = {
        "--ray-address": (plan.ray_address, None),
        "--placement": (plan.placement, "pack"),
        "--threads": (plan.threads, 1),
        "--seed": (plan.seed, 0),
        "--cache": (plan.cache, "hot"),
        "--execution": (plan.execution, "eager"),
        "--gloo-loop": (plan.gloo_loop, "background"),
        "--deadline": (f"{plan.deadline_s:g}", f"{DEADLINE_S:g}"),
    }
    options |= {option: value for option, (value, usual) in given.items() if value != usual}
    program = [side.python, str(HOME / "harness" / "cli" / "other_interpreter.py")] if side.python else ["rankbench"]
    words = [*program, "run", name, *(str(word) for each in options.items() for word in each)]
    words += ["--share-device"] * (not several and len(set(used)) < len(used))
    for field, value in case.params.items():
        words += ["--set", f"{case.scenario}.{field}={written([value])}"]
    if several:
        return on_each_host(shlex.join(words[1:]), len(spread), sum(spread))
    return " ".join([*(f"{name}={shlex.quote(value)}" for name, value in side.variables.items()), shlex.join(words)])


def _devices(names: tuple[str, ...]) -> str:
    kind = names[0].partition(":")[0]
    if kind == "cpu":
        return f"cpu:{len(names)}"
    return f"{kind}:{','.join(name.partition(':')[2] for name in names)}"
