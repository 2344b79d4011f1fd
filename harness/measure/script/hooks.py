"""What PyTorch itself tells of a script's steps, losses and batches while it runs.

Only what happens in the thread that runs the script, in this very process and in no fork of it, is noted.
"""

import functools
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.optim.optimizer import Optimizer, register_optimizer_step_post_hook
from torch.utils.data.dataloader import _BaseDataLoaderIter

from harness import steps
from harness.device.timing import now
from harness.journal.plan import StepsBy
from harness.measure.script.step_clock import MARKED, StepClock


class Hooks:
    """Tells a clock of a script's steps; keeps what is needed to look at its parameters and its last loss."""

    def __init__(self, clock: StepClock, steps_by: StepsBy) -> None:
        """Install them: they stay for as long as the process lives."""
        self.optimizers: dict[int, Optimizer] = {}
        self.loss: torch.Tensor | None = None
        """The last scalar that was differentiated, before a gradient scaler multiplied it."""
        self._scales = False
        self.skipped_updates = 0
        """Optimizer steps that a gradient scaler left out."""
        self._clock = clock
        self._calls: Counter[int] = Counter()
        self._home = os.getpid(), threading.get_ident()
        steps.listen(functools.partial(self._ended, MARKED))
        if steps_by == "forward":
            self._watch_forward()
        else:
            register_optimizer_step_post_hook(self._stepped)
            self._wrap(torch.amp.GradScaler, "step", self._scaled_step)
        self._wrap(torch.amp.GradScaler, "scale", self._scale)
        self._wrap(torch.Tensor, "backward", self._backward)
        self._wrap(_BaseDataLoaderIter, "__next__", self._next_batch)

    @property
    def _here(self) -> bool:
        return self._home == (os.getpid(), threading.get_ident())

    def _ended(self, key: object) -> None:
        if self._here:
            self._clock.ended(key)

    def _stepped(self, optimizer: Optimizer, arguments: object, options: object) -> None:
        del arguments, options
        self.optimizers.setdefault(id(optimizer), optimizer)
        self._calls[id(optimizer)] += 1
        self._ended(id(optimizer))

    def _scaled_step(self, original: Callable[..., Any], scaler: Any, optimizer: Optimizer, *rest: Any) -> Any:
        """A step that may be left out, because gradients have overflown: it ends a step of the script all the same."""
        before = self._calls[id(optimizer)]
        result = original(scaler, optimizer, *rest)
        if self._calls[id(optimizer)] == before:
            self.optimizers.setdefault(id(optimizer), optimizer)
            self.skipped_updates += 1
            self._ended(id(optimizer))
        return result

    def _scale(self, original: Callable[..., Any], scaler: Any, loss: Any) -> Any:
        """What is differentiated then is a multiple of the loss, which may well overflow."""
        self._scales = True
        self._note_loss(loss)
        return original(scaler, loss)

    def _backward(self, original: Callable[..., Any], tensor: torch.Tensor, *rest: Any) -> Any:
        if not self._scales:
            self._note_loss(tensor)
        return original(tensor, *rest)

    def _note_loss(self, loss: object) -> None:
        if isinstance(loss, torch.Tensor) and loss.numel() == 1 and self._here:
            self.loss = loss.detach()

    def _next_batch(self, original: Callable[..., Any], batches: Any) -> Any:
        start_s = now()
        batch = original(batches)
        if self._here:
            self._clock.waited(now() - start_s, items_of(batch))
        return batch

    def _wrap(self, owner: type, name: str, around: Callable[..., Any]) -> None:
        original = getattr(owner, name)

        @functools.wraps(original)
        def wrapped(*arguments: Any, **options: Any) -> Any:
            return around(functools.partial(original, **options), *arguments)

        setattr(owner, name, wrapped)

    def _watch_forward(self) -> None:
        """Note calls of outermost modules; once it is known which of them ends a step, of that one alone."""
        depth = 0

        def entered(module: torch.nn.Module, inputs: object) -> None:
            nonlocal depth
            del module, inputs
            depth += self._here

        def left(module: torch.nn.Module, inputs: object, output: object) -> None:
            nonlocal depth
            del inputs, output
            if not self._here:
                return
            depth = max(0, depth - 1)
            if depth:
                return
            if self._clock.steps is not None and id(module) == self._clock.closing:
                before.remove()
                after.remove()
                module.register_forward_hook(lambda *_: self._ended(id(module)))
            self._ended(id(module))

        before = register_module_forward_pre_hook(entered)
        after = register_module_forward_hook(left, always_call=True)


def items_of(batch: object) -> float:
    """How many samples a batch has: the first length of the first tensor in it; 0 where there is none."""
    if isinstance(batch, torch.Tensor):
        return float(batch.shape[0]) if batch.ndim else 0.0
    parts: Iterable[object] = ()
    if isinstance(batch, dict):
        parts = batch.values()
    elif isinstance(batch, list | tuple):
        parts = batch
    return next((count for part in parts if (count := items_of(part))), 0.0)
