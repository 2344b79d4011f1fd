"""Whether ranks multiply at the same time: every matrix product of a step, watched on every rank."""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from statistics import median
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from harness.device.timing import now
from harness.gang import Gang

Span = tuple[float, float]
"""When a product began and when it ended, in seconds."""
_PRODUCTS = frozenset({torch.ops.aten.mm, torch.ops.aten.addmm, torch.ops.aten.bmm, torch.ops.aten.baddbmm})
_STEPS = 3


def overlap(gang: Gang, step: Callable[[], object]) -> float:
    """The time in which all ranks that multiply do so at once, over the time in which any does; the median of steps.

    Every rank calls this, outside of what is timed. A rank's clock starts where a barrier lets it go, so that it need
    not agree with its peers' clocks.
    """
    return median(together(_gathered(gang, _watched(gang, step))) for _ in range(_STEPS))


def together(ranks: Sequence[Sequence[Span]]) -> float:
    """The time in which all ranks' products overlap, over the time in which any rank has one."""
    busy = [sorted(spans) for spans in ranks if any(end > start for start, end in spans)]
    edges = sorted({edge for spans in busy for span in spans for edge in span})
    any_s = all_s = 0.0
    for start, end in pairwise(edges):
        under_way = sum(any(first <= start and end <= last for first, last in spans) for spans in busy)
        any_s += (end - start) * (under_way > 0)
        all_s += (end - start) * (under_way == len(busy))
    return all_s / any_s if any_s else 0.0


def _watched(gang: Gang, step: Callable[[], object]) -> list[Span]:
    gang.barrier()
    with _Watch(gang.device) as watch:
        step()
    spans: list[Span] = watch.spans
    return spans


def _gathered(gang: Gang, spans: list[Span]) -> list[list[Span]]:
    """Every rank's spans; a rank that has fewer than another has empty ones more."""
    most = int(gang.all_gather(torch.tensor(len(spans), device=gang.device)).max())
    padded = torch.tensor([*spans, *[(0.0, 0.0)] * (most - len(spans))], dtype=torch.float64, device=gang.device)
    return [[(start, end) for start, end in rank] for rank in gang.all_gather(padded.reshape(most, 2)).tolist()]


class _Watch(TorchDispatchMode):
    """Notes when each matrix product begins and ends; it waits for the device before and after."""

    def __init__(self, device: torch.device) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.spans: list[Span] = []
        self._device, self._since = device, now()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if getattr(func, "overloadpacket", None) not in _PRODUCTS:
            return func(*args, **(kwargs or {}))
        start = self._now()
        out = func(*args, **(kwargs or {}))
        self.spans.append((start, self._now()))
        return out

    def _now(self) -> float:
        if self._device.type != "cpu":
            torch.get_device_module(self._device).synchronize(self._device)
        return now() - self._since
