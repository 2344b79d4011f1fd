"""The control plane: decisions that all ranks of a launch take once, together, over a side channel (gloo).

Ranks that decide alone run different numbers of collectives and hang. Nothing here touches the
groups that carry a scenario's tensors, so it still works after one of those has failed. What ranks send each
other is numbers and JSON: nothing that comes from the network is unpickled.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import torch
import torch.distributed as dist
from pydantic import TypeAdapter

from harness.common.text import harmless
from harness.journal.records import Status


class StopRequestedError(Exception):
    """The launch ends before a comparison has had its fewest rounds; raised on every rank alike."""


@dataclass
class StopRequest:
    """Whether this process knows that the launch is to end. Any thread and any signal handler may set it."""

    asked: bool = False


@dataclass(frozen=True)
class Failure:
    """Why a case ended on a rank."""

    status: Status
    message: str
    rank: int
    when_s: float
    """Host clock, to tell the first failure from those that follow from it."""
    sticky: bool = False
    """Whether every later call to a device of that process would fail as well."""
    released: bool = False
    """Whether a rank has given its process group up, so that its peers do not wait for it."""
    refusals: int = 0
    """How many ranks refused the case, and have tried nothing with it."""
    by_design: bool = False
    """Whether the scenario itself says that the case makes no sense here."""
    stack: str = ""
    """Where it happened, as Python tells it."""

    @classmethod
    def of(cls, status: Status, message: str, rank: int, when_s: float = 0.0) -> Failure:
        """A failure; its message is cut to a page, and cannot steer a terminal."""
        return cls(status, harmless(message[:2000]), rank, when_s)


class ControlPlane:
    """The side channel of one launch, seen from one rank. Alone, it agrees with itself."""

    def __init__(self, rank: int = 0, size: int = 1, groups: Mapping[int, dist.ProcessGroup] | None = None) -> None:
        """``groups`` has a gloo group of the first p ranks for each p that needs one, and of all ``size``."""
        self.rank = rank
        self.size = size
        self._groups = dict(groups or {})
        self.stop_request = StopRequest()
        """Whether this rank knows that the launch is to end."""
        self.stopped = False
        """Whether all ranks do."""

    @property
    def everybody(self) -> dist.ProcessGroup:
        """The side channel of all ranks; there are at least two."""
        return self._groups[self.size]

    def latest(self, value: float, among: int) -> float:
        """The greatest value that any of the first ``among`` ranks passes. Takes about 0.2 ms between processes."""
        return self.greatest([value], among)[0]

    def greatest(self, values: Sequence[float], among: int | None = None) -> list[float]:
        """Element-wise maximum over the first ``among`` ranks (all, if None)."""
        among = self.size if among is None else among
        if among == 1:
            return list(values)
        maxima = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(maxima, op=dist.ReduceOp.MAX, group=self._groups[among])
        return maxima.tolist()

    def gather(self, value: Any, kind: Any) -> list[Any]:
        """Every rank's value, in rank order.

        ``kind`` is the type of the values as pydantic takes it: of records, dataclasses, numbers (infinities too) and
        texts, and of tuples, lists and dictionaries of these. Raises pydantic.ValidationError where a rank sends
        something else.
        """
        if self.size == 1:
            return [value]
        text = json.dumps(_adapter(kind).dump_python(value, mode="json"), ensure_ascii=False)
        contents = self._all_gather(text.encode(errors="replace"))
        return [_adapter(kind).validate_json(content) for content in contents]

    def collect(self, content: bytes) -> list[bytes]:
        """Every rank's bytes, in rank order, on rank 0; nothing on the others."""
        if self.size == 1:
            return [content]
        sizes, padded = self._padded(content)
        received = [torch.empty_like(padded) for _ in sizes] if self.rank == 0 else None
        dist.gather(padded, received, group=self.everybody, group_dst=0)
        return _unpadded(received or (), sizes)

    def _all_gather(self, content: bytes) -> list[bytes]:
        sizes, padded = self._padded(content)
        received = [torch.empty_like(padded) for _ in sizes]
        dist.all_gather(received, padded, group=self.everybody)
        return _unpadded(received, sizes)

    def _padded(self, content: bytes) -> tuple[list[int], torch.Tensor]:
        """The sizes of all ranks' contents, and this rank's as uint8, as long as the largest."""
        sizes = [torch.zeros(1, dtype=torch.int64) for _ in range(self.size)]
        dist.all_gather(sizes, torch.tensor([len(content)]), group=self.everybody)
        padded = torch.zeros(max(1, *map(int, sizes)), dtype=torch.uint8)
        if content:
            padded[: len(content)] = torch.frombuffer(bytearray(content), dtype=torch.uint8)
        return [int(size) for size in sizes], padded

    def settle(self, failure: Failure | None) -> Failure | None:
        """Wait for all ranks; the first failure that any of them had, or None: the same answer everywhere.

        Afterwards all of them know whether the launch is to end.
        """
        failed, asked = self.greatest([float(failure is not None), float(self.stop_request.asked)])
        self.stopped |= bool(asked)
        if not failed:
            return None
        failures = [other for other in self.gather(failure, Failure | None) if other is not None]
        first: Failure = min(failures, key=lambda other: other.when_s)
        return replace(
            first,
            sticky=any(other.sticky for other in failures),
            released=any(other.released for other in failures),
            refusals=sum(other.status == "skipped" for other in failures),
        )


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _unpadded(received: Sequence[torch.Tensor], sizes: Sequence[int]) -> list[bytes]:
    return [tensor[:size].numpy().tobytes() for tensor, size in zip(received, sizes, strict=False)]
