"""D2L 5.5.1: what a checkpoint is for when no other device will ever need it."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch

from harness.scenario import Facts, Gang, Scaling, Work, Workload, axis, variant
from scenarios.chapter.exercises import exercises
from scenarios.chapter.roundtrip import formats
from scenarios.chapter.roundtrip.proof import assert_same
from scenarios.chapter.roundtrip.state import State
from scenarios.chapter.roundtrip.training import BATCH, INPUTS, Training


@dataclass(frozen=True, kw_only=True)
class Resume:
    """The end of a training run that broke off: trained from the start again, or on from the last checkpoint."""

    exercises: ClassVar = exercises("5.5.1")
    scaling: ClassVar[Scaling] = "weak"

    width: int = axis(256, full=(8192,))
    steps: int = 40
    saved: int = 30
    after: Literal["restart", "resume"] = variant(baseline="restart")

    def prepare(self, gang: Gang) -> Workload:
        """Every rank has a run of its own, which has left a checkpoint of step ``saved``, and has been to its end."""
        shape = self.steps, BATCH, INPUTS + 1
        batches = torch.randn(shape, device=gang.device, generator=gang.generator)
        seed = int(torch.randint(2**31, (), device=gang.device, generator=gang.generator))
        path = gang.scratch / f"{gang.rank}.pt"
        devices = [gang.device] if gang.device.type == "cuda" else []

        def begun() -> Training:
            torch.manual_seed(seed)
            return Training(self.width, batches)

        def finished(*without: str) -> State:
            with torch.random.fork_rng(devices):
                run = begun()
                if self.after == "resume":
                    saved = formats.load_torch(path, torch.device("cpu"))
                    run.resume({key: part for key, part in saved.items() if key not in without})
                return run.go_on(self.steps)

        with torch.random.fork_rng(devices):
            first = begun()
            first.go_on(self.saved)
            formats.save_torch(first.checkpoint(), path)
            due = {name: tensor.clone() for name, tensor in first.go_on(self.steps).items()}

        def check(state: State) -> Facts:
            assert_same(state, due)
            if self.after == "restart":
                return {"trained": self.steps}
            drift = {f"without_{part}": _distance(finished(part), due) for part in ("adam", "random")}
            assert min(drift.values()) > 0, f"a checkpoint need not hold everything: {drift}"
            return {"trained": self.steps - self.saved, "checkpoint_bytes": path.stat().st_size, **drift}

        return Workload(finished, check=check, work=Work(unit="run"))


def _distance(one: State, other: State) -> float:
    return round(max(float((mine - other[name]).abs().max()) for name, mine in one.items()), 3)
