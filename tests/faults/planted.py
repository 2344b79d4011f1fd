"""A scenario in which one rank comes to harm: in one way, at one moment; beside a variant of DDP, if wanted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, NoReturn

import torch
from torch.nn.parallel import DistributedDataParallel

from harness.scenario import Gang, Work, Workload, axis, variant

Kind = Literal[
    "none", "ddp", "raise", "quit", "exit0", "exit1", "kill", "crash", "stop", "loop", "wait", "memory", "deaf",
    "orphan", "unpicklable", "enormous", "wordless", "output", "constructor", "work", "facts",
]  # fmt: skip
HEALTHY = ("none", "ddp")
CARELESS = ("constructor", "work", "facts")
"""What a scenario hands over raises where it is looked at: there is one moment for that."""
MOMENTS = ("setup", "warmup", "sample", "check", "close")
DUE = {"warmup": 4, "sample": 2}
"""In which step of its kind harm comes: three untimed ones are done to prepare."""


class UnpicklableError(Exception):
    def __init__(self) -> None:
        super().__init__("planted")
        self.lock = threading.Lock()


class WordlessError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("there are no words")


def _raise(error: BaseException) -> NoReturn:
    raise error


def _endless() -> NoReturn:
    while True:
        pass


def _deaf() -> None:
    """It neither moves nor goes when it is asked to."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        time.sleep(3600)


def _orphan() -> None:
    """It dies, and leaves a child in a session of its own."""
    subprocess.Popen(["/bin/sleep", "3600"], start_new_session=True)
    os.kill(os.getpid(), signal.SIGKILL)


def _closed() -> None:
    sys.stdout.close()
    print("planted")  # noqa: T201


def _crash() -> None:
    import ctypes

    ctypes.string_at(0)


def _note(moment: str, kind: str) -> None:
    with Path(os.environ["RANKBENCH_HARM"]).open("a") as file:
        file.write(f"{moment} {kind} {time.monotonic()}\n")


@dataclass(frozen=True, kw_only=True)
class CarelessWork(Work):
    """Its number of operations cannot be read."""

    moment: str = "setup"

    def __getattribute__(self, name: str) -> Any:
        if name == "flops":
            _note(object.__getattribute__(self, "moment"), "work")
            raise ValueError("planted")
        return object.__getattribute__(self, name)


class CarelessFacts(dict[str, Any]):
    """Facts that cannot be read."""

    def __init__(self, moment: str) -> None:
        super().__init__(never=1)
        self.moment = moment

    def _refuse(self, *_: object) -> NoReturn:
        _note(self.moment, "facts")
        raise ValueError("planted")

    __iter__ = items = keys = values = __len__ = __getitem__ = _refuse  # type: ignore[assignment]


def _data_parallel(gang: Gang, size: int) -> Workload:
    """A training step that holds the gang's group, as it does for users."""
    net = DistributedDataParallel(torch.nn.Linear(size, size), process_group=gang.group)
    x = torch.randn(size, size, generator=gang.generator)

    def step() -> torch.Tensor:
        net.zero_grad()
        loss: torch.Tensor = net(x).square().mean()
        loss.backward()
        return loss.detach()

    def check(loss: torch.Tensor) -> None:
        assert loss.isfinite()

    return Workload(step, check=check, work=Work(unit="product"))


HARMS: dict[str, Callable[[Gang], object]] = {
    "raise": lambda _: _raise(ValueError("planted")),
    "quit": lambda _: sys.exit(0),
    "exit0": lambda _: os._exit(0),
    "exit1": lambda _: os._exit(1),
    "kill": lambda _: os.kill(os.getpid(), signal.SIGKILL),
    "crash": lambda _: _crash(),
    "stop": lambda _: os.kill(os.getpid(), signal.SIGSTOP),
    "loop": lambda _: _endless(),
    "wait": lambda gang: gang.all_reduce(torch.ones(1)),
    "memory": lambda _: _raise(MemoryError("planted")),
    "deaf": lambda _: _deaf(),
    "orphan": lambda _: _orphan(),
    "unpicklable": lambda _: _raise(UnpicklableError()),
    "enormous": lambda _: _raise(ValueError("planted" * 5_000_000)),
    "wordless": lambda _: _raise(WordlessError()),
    "output": lambda _: _closed(),
}


def _moment() -> str:
    """What a step is: ``warmup`` where it is not timed, ``sample`` where it counts; ``pilot`` in any other sample."""
    frame, names = sys._getframe(1), set[str]()
    while frame.f_back:
        frame = frame.f_back
        names |= {Path(frame.f_code.co_filename).name, frame.f_code.co_name}
    if "timing_loop.py" not in names:
        return "warmup"
    return "sample" if "_rounds" in names else "pilot"


@dataclass(frozen=True, kw_only=True)
class Planted:
    """A product; the last rank comes to harm."""

    scaling: ClassVar = "weak"
    size: int = 64
    moment: str = axis(*MOMENTS)
    kind: Kind = variant(baseline="none")  # noqa: RUF009

    def __post_init__(self) -> None:
        if self.kind == "constructor":
            _note(self.moment, self.kind)
            raise ValueError("planted")

    def prepare(self, gang: Gang) -> Workload:
        if self.kind == "ddp":
            return _data_parallel(gang, self.size)
        a, b = (torch.randn(self.size, self.size, generator=gang.generator) for _ in range(2))
        last = gang.rank == gang.size - 1
        came = dict.fromkeys(MOMENTS, 0)

        def comes(moment: str, due: int = 1) -> None:
            came[moment] += 1
            if self.kind in HARMS and moment == self.moment and last and came[moment] == due:
                _note(self.moment, self.kind)
                HARMS[self.kind](gang)

        def step() -> torch.Tensor:
            if self.moment in DUE and _moment() == self.moment:
                comes(self.moment, DUE[self.moment])
            return a @ b

        def check(output: torch.Tensor) -> CarelessFacts | None:
            comes("check")
            torch.testing.assert_close(output.double(), a.double() @ b.double(), rtol=1e-4, atol=1e-4)
            return CarelessFacts(self.moment) if self.kind == "facts" and last else None

        comes("setup")
        work = Work(flops=2 * self.size**3, unit="product")
        if self.kind == "work" and last:
            work = CarelessWork(unit="product", moment=self.moment)
        return Workload(step, check=check, work=work, close=lambda: comes("close"))
