"""The command line that measures one case again: of its run nothing else, or of a packed copy what it is a copy of."""

from __future__ import annotations

import shlex

from harness.common.packages import HOME
from harness.journal.plan import DEADLINE_S, Case, Plan, Side
from harness.plugins.fields import written


def command(plan: Plan, side: Side, case: Case) -> str:
    """One launch of a case that is no probe, as on that side, on as many of the run's devices as it needs."""
    ours = case.reference.startswith("scenarios.") and not side.python  # which need not have these installed
    name = case.scenario if ours else case.reference
    used = plan.devices[: case.world_size]
    options: dict[str, object] = {
        "--devices": _devices(used),
        "--world-sizes": f"1,{case.world_size}" if case.packed else case.world_size,
        "--launcher": side.launcher,
        "--launches": 1,
    }
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
    words += ["--share-device"] * (len(set(used)) < len(used))
    for field, value in case.params.items():
        words += ["--set", f"{case.scenario}.{field}={written([value])}"]
    return " ".join([*(f"{name}={shlex.quote(value)}" for name, value in side.variables.items()), shlex.join(words)])


def _devices(names: tuple[str, ...]) -> str:
    kind = names[0].partition(":")[0]
    if kind == "cpu":
        return f"cpu:{len(names)}"
    return f"{kind}:{','.join(name.partition(':')[2] for name in names)}"
