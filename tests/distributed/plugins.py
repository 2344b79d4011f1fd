"""Scenarios that misbehave, each in one way."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import torch
import torch.distributed._functional_collectives as functional
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, Shard
from torch.nn.parallel import DistributedDataParallel

from harness.scenario import Gang, Work, Workload, variant
from harness.world.world import World

N = 192


def work(share: int = 1) -> Work:
    return Work(flops=2 * N**3 * share, items=share, unit="product")


def right(output: torch.Tensor, a: torch.Tensor, b: torch.Tensor) -> None:
    torch.testing.assert_close(output.double(), a.double() @ b.double(), rtol=1e-4, atol=1e-4)


def operands(gang: Gang) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(N, N, generator=gang.generator), torch.randn(N, N, generator=gang.generator)


@dataclass(frozen=True, kw_only=True)
class WrongOnOne:
    """A product that is wrong on rank 1 only."""

    scaling: ClassVar = "weak"

    def prepare(self, gang: Gang) -> Workload:
        a, b = operands(gang)

        def step() -> torch.Tensor:
            return a @ b * (2 if gang.rank == 1 else 1)

        return Workload(step, check=lambda output: right(output, a, b), work=work())


@dataclass(frozen=True, kw_only=True)
class Lazy:
    """One variant hands out what it made before, and declares the same work."""

    scaling: ClassVar = "weak"
    how: Literal["honest", "cached"] = variant(baseline="honest")

    def prepare(self, gang: Gang) -> Workload:
        a, b = operands(gang)
        made = a @ b
        step = (lambda: made) if self.how == "cached" else (lambda: a @ b)
        return Workload(step, check=lambda output: right(output, a, b), work=work())


@dataclass(frozen=True, kw_only=True)
class Raises:
    """Rank 1 raises in the middle, while its peer waits in a collective."""

    scaling: ClassVar = "weak"

    def prepare(self, gang: Gang) -> Workload:
        a, b = operands(gang)
        done = iter(range(10**9))

        def step() -> torch.Tensor:
            if gang.rank == 1 and next(done) == 12:
                raise ValueError("the twelfth step")
            gang.all_reduce(torch.ones(1))
            return a @ b

        return Workload(step, check=lambda output: right(output, a, b), work=work())


@dataclass(frozen=True, kw_only=True)
class Deserts:
    """Rank 1 raises as over NCCL, where its peer stays in the collective that it waits in."""

    scaling: ClassVar = "weak"

    def prepare(self, gang: Gang) -> Workload:
        done = iter(range(10**9))

        def step() -> None:
            if gang.rank == 1 and next(done) == 12:
                frame = sys._getframe()
                while not isinstance(frame.f_locals.get("world"), World):
                    assert frame.f_back is not None
                    frame = frame.f_back
                frame.f_locals["world"].backend = "nccl"  # and so its group over gloo is left as it is
                raise ValueError("the twelfth step")
            gang.all_reduce(torch.ones(1))

        return Workload(step, check=lambda _: None, work=work())


@dataclass(frozen=True, kw_only=True)
class Dies:
    """Rank 1 goes, one way or another, after a few steps."""

    scaling: ClassVar = "weak"
    way: Literal["kill", "exit"] = variant(baseline="kill")

    def prepare(self, gang: Gang) -> Workload:
        a, b = operands(gang)
        done = iter(range(10**9))

        def step() -> torch.Tensor:
            if gang.rank == 1 and next(done) == 12:
                if self.way == "exit":
                    os._exit(0)
                os.kill(os.getpid(), signal.SIGKILL)
            return a @ b

        return Workload(step, check=lambda output: right(output, a, b), work=work())


@dataclass(frozen=True, kw_only=True)
class SlowOnOne:
    """Rank 1 takes a fifth longer than the others, who never meet it, or average DDP's gradients with it."""

    scaling: ClassVar = "weak"
    step_s: float = 0.004
    ranks: Literal["apart", "together"] = variant(baseline="apart")

    def prepare(self, gang: Gang) -> Workload:
        due_s = self.step_s * (1.2 if gang.rank == 1 else 1.0) * (2 if self.ranks == "together" else 1)
        net: torch.nn.Module = torch.nn.Linear(8, 8)
        if gang.size > 1 and self.ranks == "together":
            net = DistributedDataParallel(net, process_group=gang.group)

        def step() -> bool:
            end_s = time.process_time() + due_s  # its own time: a neighbour does not make it less work
            while time.process_time() < end_s:
                pass
            if self.ranks == "together":
                net(torch.ones(1, 8)).sum().backward()
            return True

        def check(output: bool) -> None:
            assert output

        return Workload(step, check=check, work=Work())


@dataclass(frozen=True, kw_only=True)
class Hangs:
    """Rank 1 stops moving after a few steps."""

    scaling: ClassVar = "weak"

    def prepare(self, gang: Gang) -> Workload:
        a, b = operands(gang)
        done = iter(range(10**9))

        def step() -> torch.Tensor:
            if gang.rank == 1 and next(done) == 12:
                signal.pause()
            return a @ b

        return Workload(step, check=lambda output: right(output, a, b), work=work())


@dataclass(frozen=True, kw_only=True)
class Holds:
    """Runs once: in any later launch every rank stays where it is, and so cannot be missed there."""

    scaling: ClassVar = "weak"
    folder: str = ""

    def prepare(self, gang: Gang) -> Workload:
        a, b = operands(gang)
        was_here = Path(self.folder) / f"rank-{gang.rank}"
        if was_here.exists():
            signal.pause()
        was_here.touch()
        return Workload(lambda: a @ b, check=lambda output: right(output, a, b), work=work())


@dataclass(frozen=True, kw_only=True)
class Keeps:
    """Each rank reads back the file that it has written on its host."""

    scaling: ClassVar = "weak"

    def prepare(self, gang: Gang) -> Workload:
        a, b = operands(gang)
        path = gang.scratch / f"{gang.rank}.pt"
        torch.save(a, path)
        return Workload(lambda: torch.load(path) @ b, check=lambda output: right(output, a, b), work=work())


@dataclass(frozen=True, kw_only=True)
class Spins:
    """One variant never ends its twelfth step, and brings the alarm near that waits for it."""

    scaling: ClassVar = "weak"
    moves: Literal["yes", "no"] = variant(baseline="yes")

    def prepare(self, gang: Gang) -> Workload:
        a, b = operands(gang)
        done = iter(range(10**9))

        def step() -> torch.Tensor:
            if self.moves == "no" and next(done) >= 12:
                signal.setitimer(signal.ITIMER_REAL, 0.1)
                while True:
                    pass
            return a @ b

        return Workload(step, check=lambda output: right(output, a, b), work=work())


@dataclass(frozen=True, kw_only=True)
class Shy:
    """Rank 1 works while it is measured, and fails one way or another once a profiler looks on."""

    scaling: ClassVar = "weak"
    way: Literal["raise", "exit", "none"] = variant(baseline="none")

    def prepare(self, gang: Gang) -> Workload:
        a, b = operands(gang)

        def step() -> torch.Tensor:
            if gang.rank == 1 and torch.autograd._profiler_enabled():
                if self.way == "raise":
                    raise ValueError("somebody is looking")
                if self.way == "exit":
                    os._exit(3)
            gang.all_reduce(torch.ones(1))
            return a @ b

        return Workload(step, check=lambda output: right(output, a, b), work=work())


@dataclass(frozen=True, kw_only=True)
class Steps:
    """A step of 0.2 s, and one that never ends; each step is noted in a file."""

    scaling: ClassVar = "weak"
    ends: Literal["yes", "no"] = variant(baseline="yes")

    def prepare(self, gang: Gang) -> Workload:
        path = Path(os.environ["RANKBENCH_STEPS"])

        def step() -> bool:
            with path.open("a") as file:
                file.write(".")
            end_s = time.process_time() + 0.2
            while self.ends == "no" or time.process_time() < end_s:
                pass
            return True

        def check(output: bool) -> None:
            assert output

        return Workload(step, check=check, work=Work())


@dataclass(frozen=True, kw_only=True)
class Chokes:
    """From its first step on no file of rank 0's process may grow."""

    scaling: ClassVar = "weak"

    def prepare(self, gang: Gang) -> Workload:
        a, b = operands(gang)

        def step() -> torch.Tensor:
            if gang.rank == 0:
                resource.setrlimit(resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
            return a @ b

        return Workload(step, check=lambda _: None, work=Work(flops=2 * N**3 * gang.size))


@dataclass(frozen=True, kw_only=True)
class Leaves:
    """Starts a process in a session of its own, one without a parent, and a child; their numbers are in a file."""

    scaling: ClassVar = "weak"

    def prepare(self, gang: Gang) -> Workload:
        a, b = operands(gang)
        here = Path(os.environ["RANKBENCH_STEPS"])
        child = subprocess.Popen(["sleep", "600"], start_new_session=True).pid
        subprocess.run(["/bin/sh", "-c", f"sleep 600 & echo $! >> {here}"], check=True, start_new_session=True)
        if (pid := os.fork()) == 0:
            os.execlp("sleep", "sleep", "600")
        with here.open("a") as file:
            file.write(f"{child}\n{pid}\n")
        return Workload(lambda: a @ b, check=lambda _: None, work=work())


@dataclass(frozen=True, kw_only=True)
class Sticky:
    """Rank 1 gets an error of its accelerator, after which no call to that would succeed."""

    scaling: ClassVar = "weak"

    def prepare(self, gang: Gang) -> Workload:
        a, b = operands(gang)
        done = iter(range(10**9))

        def step() -> torch.Tensor:
            if gang.rank == 1 and next(done) == 12:
                raise torch.AcceleratorError("CUDA error: device-side assert triggered")
            gang.all_reduce(torch.ones(1))
            return a @ b

        return Workload(step, check=lambda output: right(output, a, b), work=work())


class Numbers(torch.utils.data.Dataset[int]):
    """The numbers below eight."""

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> int:
        return index


@dataclass(frozen=True, kw_only=True)
class Loads:
    """A worker process loads data: it has to find this file's classes, which no import does."""

    scaling: ClassVar = "weak"

    def prepare(self, gang: Gang) -> Workload:
        a, b = operands(gang)
        loader = torch.utils.data.DataLoader(Numbers(), batch_size=4, num_workers=1)
        assert sum(int(batch.sum()) for batch in loader) == 28

        def step() -> torch.Tensor:
            gang.all_reduce(torch.ones(1))
            return a @ b

        return Workload(step, check=lambda output: right(output, a, b), work=work())


@dataclass(frozen=True, kw_only=True)
class Trains:
    """Training that holds the gang's process group; in two variants rank 1 raises, one takes the default group."""

    scaling: ClassVar = "weak"
    by: Literal["gang", "ddp", "fsdp", "functional", "dtensor", "gang_raises", "ddp_raises", "default"] = variant(
        baseline="gang"
    )

    def prepare(self, gang: Gang) -> Workload:
        net, x = torch.nn.Linear(8, 8), torch.randn(4, 8, generator=gang.generator)
        self._share(gang, net)
        how = self.by.partition("_")[0] if gang.size > 1 or self.by == "default" else "alone"
        model, reduce = self._wrapped(how, gang, net)
        done = iter(range(10**9))

        def step() -> bool:
            if self.by.endswith("raises") and gang.rank == 1 and next(done) == 12:
                raise ValueError("the twelfth step")
            model(x).square().sum().backward()
            reduce()
            return True

        return Workload(step, check=lambda _: None, work=Work())

    @staticmethod
    def _share(gang: Gang, net: torch.nn.Module) -> None:
        for weight in net.parameters():
            torch.nn.init.normal_(weight, generator=gang.shared_generator)

    @staticmethod
    def _wrapped(how: str, gang: Gang, net: torch.nn.Linear) -> tuple[torch.nn.Module, Callable[[], object]]:
        """A model, and what follows its backward pass."""
        mesh = DeviceMesh.from_group(gang.group, "cpu") if how in ("fsdp", "dtensor") else None
        if how == "default":  # nobody's in particular
            return DistributedDataParallel(net), lambda: None
        if how == "ddp":
            return DistributedDataParallel(net, process_group=gang.group), lambda: None
        if mesh is not None and how == "fsdp":
            fully_shard(net, mesh=mesh)
            return net, lambda: None
        if mesh is not None:
            sharded = DTensor.from_local(torch.ones(2), mesh, [Shard(0)])
            return net, sharded.full_tensor
        if how == "functional":
            name = gang.group.group_name if gang.group is not None else ""
            return net, lambda: functional.wait_tensor(functional.all_reduce(net.weight.grad, "sum", name))
        return net, lambda: [gang.all_reduce(weight.grad) for weight in net.parameters() if weight.grad is not None]
