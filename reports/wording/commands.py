"""The command line that measures one case again: of its run nothing else, or of a packed copy what it is a copy of.

Where somebody's torchrun started the ranks, it starts as many again: each is where it was.
"""

import shlex

from harness.common.packages import HOME
from harness.journal.plan import DEADLINE_S, Case, Plan, Script, Side
from harness.plugins.fields import written

ELSEWHERE = "runs/again"
"""The run directory of what is measured again under torchrun, which needs one."""


def command(plan: Plan, side: Side, case: Case) -> str:
    """One launch of a case that is no probe, as on that side, on as many of the run's devices as it needs."""
    if plan.script is not None:
        return _script(plan, plan.script, case)
    ours = case.reference.startswith("scenarios.") and not side.python  # which need not have these installed
    name = case.scenario if ours else case.reference
    used = plan.devices if plan.ranks_per_host else plan.devices[: case.world_size]
    ends: dict[str, object] = {"--launcher": side.launcher, "--launches": 1}
    options: dict[str, object] = {
        "--devices": _devices(plan, used) if plan.hosts == 1 else _on_each_host(plan),
        "--world-sizes": f"{case.gang_size},{case.world_size}" if case.packed else case.world_size,
        **({"--out": ELSEWHERE} if plan.ranks_per_host else ends),
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
    program = plan.program
    if side.python:
        program = shlex.join([side.python, str(HOME / "harness" / "cli" / "other_interpreter.py")])
    words = ["run", name, *(str(word) for each in options.items() for word in each)]
    words += ["--share-device"] * (len(set(used)) < len(used))
    if plan.emulation:
        words += [word for line in plan.emulation.lines for word in ("--emulate", line)]
    for field, value in case.params.items():
        words += ["--set", f"{case.scenario}.{field}={written([value])}"]
    variables = (f"{name}={shlex.quote(value)}" for name, value in side.variables.items())
    return " ".join([*variables, program, shlex.join(words)])


def _on_each_host(plan: Plan) -> str:
    """Devices of each of several hosts, whose numbers the plan does not have."""
    kind = plan.devices[0].partition(":")[0]
    return f"cpu:{plan.ranks_per_host}" if kind == "cpu" else kind


def _devices(plan: Plan, names: tuple[str, ...]) -> str:
    kind = names[0].partition(":")[0]
    if plan.emulation:
        return f"emulated:{plan.emulation.hosts}x{plan.emulation.devices_per_host}"
    if kind == "cpu":
        return f"cpu:{len(names)}"
    return f"{kind}:{','.join(name.partition(':')[2] for name in names)}"


def _script(plan: Plan, script: Script, case: Case) -> str:
    """One launch of a script on as many of the run's devices."""
    options: dict[str, object] = {
        "--devices": _devices(plan, plan.devices[: case.world_size]),
        "--world-sizes": case.world_size,
        "--launches": 1,
        "--steps": script.steps,
        "--skip": script.skip,
    }
    if script.steps_by != "optimizer":
        options["--steps-by"] = script.steps_by
    option_words = [word for option, value in options.items() for word in (option, str(value))]
    program = ["-m"] if script.module else []
    return shlex.join([plan.program, "script", *option_words, *program, script.target, *script.arguments])
