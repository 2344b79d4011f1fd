"""A whole run with processes of its own, from a plan to a journal."""

import sys
from contextlib import ExitStack

from rich.console import Console

from harness.device.host_limits import allow_open_files
from harness.journal.plan import Plan, Record, Side
from harness.journal.run_directory import RunDir
from harness.planning.ray_address import require_ray
from harness.world.control import StopRequest
from launch.inline import Inline
from launch.launcher import Launcher
from launch.local.script import ScriptLauncher
from launch.local.torchrun import Torchrun
from launch.processes.scratch import scratch
from launch.progress import Progress
from launch.supervision.profiling import Profiling
from launch.supervision.run_state import fingerprints, note_hosts, opened
from launch.supervision.stop_signals import Interrupt, heard
from launch.supervision.supervisor import Supervisor


def own(run: RunDir, plan: Plan, console: Console, *, retry_failed: bool = False) -> bool:
    """Measure what is missing of a run that is on disk, with processes of its own; ``retry_failed``: and what failed.

    Returns whether all cells are ok.
    """
    allow_open_files(len(plan.devices))
    with opened(run, console) as journal, Progress(plan, console) as progress:
        if plan.ray_address is None and plan.emulation is None:
            progress.warn(len(set(plan.devices)) * plan.threads)
        progress.waiting(run.root / "logs")

        def watch(record: Record) -> None:
            note_hosts(run, plan, record)
            progress.watch(record)

        with ExitStack() as stack:
            interrupt = Interrupt()
            stack.enter_context(heard(interrupt, progress.say))
            launchers = {side.name: stack.enter_context(_launcher(side, run, plan, interrupt)) for side in plan.sides}
            folder = stack.enter_context(scratch(run.root))
            supervisor = Supervisor(
                plan,
                journal,
                run.entries(),
                watch,
                fingerprints=fingerprints(run, plan),
                scratch=folder,
                retry_failed=retry_failed,
                interrupt=interrupt,
            )
            with heard(interrupt, progress.say):  # once more: Ray has put a handler of its own in the place of ours
                well = supervisor.run(launchers)
            if plan.profile:
                progress.profiling()
                Profiling(run, plan, journal, progress.watch).run(launchers[plan.sides[0].name], folder)
            return well


def _launcher(side: Side, run: RunDir, plan: Plan, stop_request: StopRequest) -> Launcher:
    if plan.script is not None:
        return ScriptLauncher(run.root / "logs", side, stop_request)
    if side.launcher == "inline":
        return Inline(stop_request)
    if side.launcher == "torchrun":
        return Torchrun(run.root / "logs", side.python or sys.executable, side.variables, stop_request)
    require_ray()
    from launch.ray_cluster.launcher import RayLauncher

    return RayLauncher(plan.ray_address, plan.placement, stop_request)
