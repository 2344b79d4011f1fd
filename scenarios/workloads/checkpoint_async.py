"""Saving a state that training changes at once: before it goes on, or behind it by a thread from a copy."""

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import torch

from harness.scenario import Facts, Gang, Scaling, Work, Workload, axis, variant
from scenarios.accuracy import normwise_error

State = dict[str, torch.Tensor]


@dataclass(frozen=True, kw_only=True)
class CheckpointAsync:
    """A rank's state saved at each step, which then changes all of it and computes: what the step waits for."""

    scaling: ClassVar[Scaling] = "weak"

    size: int = axis(2**20, full=(2**28, 2**31))
    tensors: int = 4
    width: int = axis(256, full=(4096,))
    how: Literal["sync", "thread"] = variant(baseline="sync")

    def memory(self, ranks: int) -> int:  # noqa: ARG002 - each rank has its own
        """The state, operands and their product."""
        return self.size + 12 * self.width**2

    def prepare(self, gang: Gang) -> Workload:
        """Number the state by rank and place; a step saves it, adds one to all of it, and multiplies matrices."""
        numbers = max(1, self.size // (4 * self.tensors))
        start = torch.add(torch.arange(numbers, device=gang.device) % 2**20, gang.rank)
        state = {f"{place}": (start + place).float() for place in range(self.tensors)}
        left, right = (
            torch.randn(self.width, self.width, device=gang.device, generator=gang.generator) for _ in range(2)
        )
        path = gang.scratch / f"state-{gang.rank:04}"
        saver = Saver(path, behind=self.how == "thread")

        def reset() -> None:
            saver.finish()
            path.unlink(missing_ok=True)
            for place, tensor in enumerate(state.values()):
                tensor.copy_(start + place)

        def step() -> torch.Tensor:
            saver.save(state)
            for tensor in state.values():
                tensor.add_(1)
            return left @ right

        def check(product: torch.Tensor, steps: int) -> Facts:
            saver.finish()
            stored = torch.load(path, weights_only=True)
            assert stored.keys() == state.keys(), f"the file holds {sorted(stored)}"
            for place, tensor in enumerate(stored.values()):
                due = (start + place + steps - 1).float().cpu()
                wrong = int((tensor.cpu() != due).sum())
                assert not wrong, f"{wrong} of {numbers} numbers in the file are not those of when it was saved"
            error = normwise_error(product, left.double() @ right.double(), "the product")
            return {"error": error, "stored_bytes": path.stat().st_size}

        def close() -> None:
            saver.close()
            path.unlink(missing_ok=True)

        held = 4 * numbers * self.tensors
        work = Work(flops=2 * self.width**3, items=held, unit="byte", bytes=held)
        return Workload(step, check=check, work=work, reset=reset, close=close)


class Saver:
    """Writes states to ``path`` one after the other, before it returns or behind whoever calls."""

    def __init__(self, path: Path, *, behind: bool) -> None:
        self.path = path
        self.behind = behind
        self.writer = ThreadPoolExecutor(1)
        self.pending: Future[None] | None = None

    def save(self, state: State) -> None:
        """Write a state; behind the caller, copy it to the host once the one before it is written, and return."""
        if not self.behind:
            save(state, self.path)
            return
        self.finish()
        self.pending = self.writer.submit(save, copied(state), self.path)

    def finish(self) -> None:
        """Wait for what is being written. Raises what failed of it."""
        pending, self.pending = self.pending, None
        if pending is not None:
            pending.result()

    def close(self) -> None:
        """End the thread, with what it writes."""
        self.writer.shutdown()


def copied(state: State) -> State:
    """The state as it is now, on the host."""
    return {name: tensor.detach().to("cpu", copy=True) for name, tensor in state.items()}


def save(state: State, path: Path) -> None:
    """Write a state in place of what is at ``path``: a reader sees one or the other, and never half."""
    unfinished = path.with_suffix(".new")
    torch.save(state, unfinished)
    unfinished.rename(path)
