"""One collective on one message: by the library, in two phases, in pieces at once, or by hand."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
import torch.distributed as dist

from harness.scenario import Facts, Gang, Scaling, Skip, Work, Workload, axis, exact_pattern, variant
from harness.scenario.oracles import ExactPattern
from scenarios.workloads import rings

all_gather: Callable[..., Any] = getattr(dist, "all_gather_single", None) or dist.all_gather_into_tensor
reduce_scatter: Callable[..., Any] = getattr(dist, "reduce_scatter_single", None) or dist.reduce_scatter_tensor
PIECES = 4
"""Messages that are on their way at once, where it is chunked."""
BUS: dict[str, Callable[[int], float]] = {
    "all_reduce": lambda n: 2 * (n - 1) / n,
    "all_gather": lambda n: (n - 1) / n,
    "reduce_scatter": lambda n: (n - 1) / n,
    "all_to_all": lambda n: (n - 1) / n,
    "broadcast": lambda n: 1.0 if n > 1 else 0.0,
}
"""Bus bandwidth over algorithm bandwidth, by the number of ranks."""


@dataclass(frozen=True, kw_only=True)
class Collectives:
    """One collective on one message: by the library, in two phases, in pieces at once, or by hand over exchanges."""

    scaling: ClassVar[Scaling] = "none"
    ranks: ClassVar = (2, None)

    op: Literal["all_reduce", "all_gather", "reduce_scatter", "all_to_all", "broadcast"] = axis(
        "all_reduce", full=("all_reduce", "all_gather", "reduce_scatter", "all_to_all", "broadcast")
    )
    size: int = axis(2**22, 2**16, full=tuple(2**power for power in range(10, 34, 2)))
    dtype: Literal["float32", "bfloat16"] = axis("float32", full=("float32", "bfloat16"))
    how: Literal["library", "two_phase", "chunked", "by_hand"] = variant(baseline="library")

    def memory(self, ranks: int) -> int:
        """The operand, the result, and copies of parts."""
        return 2 * self.size + self.size // ranks

    def prepare(self, gang: Gang) -> Workload:
        """Fill a message of ``size`` bytes with integers whose sum or exchange is known in closed form."""
        if self.how == "two_phase" and self.op not in ("all_reduce", "broadcast"):
            raise Skip(f"{self.op} has one phase: all_reduce and broadcast can be done in two")
        dtype = {"float32": torch.float32, "bfloat16": torch.bfloat16}[self.dtype]
        block = max(1, self.size // (dtype.itemsize * gang.size * PIECES)) * PIECES
        numbers = block * gang.size
        try:
            pattern = exact_pattern(
                gang.size, numbers, dtype, gang.device, summed=self.op in ("all_reduce", "reduce_scatter")
            )
        except ValueError as error:
            raise Skip(str(error)) from None
        mine = pattern.of(gang.rank).view(gang.size, block)
        out = torch.zeros_like(mine)
        call = getattr(self, f"_{self.how}")

        def reset() -> None:
            out.zero_()
            if self.op == "broadcast" and gang.rank == 0:
                out.copy_(mine)

        def step() -> torch.Tensor:
            result: torch.Tensor = call(gang, mine, out)
            return result

        def check(result: torch.Tensor) -> Facts:
            exact = self.exact(pattern, gang)
            assert result.dtype == exact.dtype, f"{self.op} gives {result.dtype} of {exact.dtype}"
            assert result.shape.numel() == exact.numel(), f"{self.op} gives {result.numel()} of {exact.numel()} numbers"
            wrong = int((result.reshape(-1) != exact).sum())
            assert not wrong, f"{wrong} of {exact.numel()} numbers are not what {self.op} gives"
            return {"message_bytes": out.nbytes, "bus_factor": BUS[self.op](gang.size)}

        sent = BUS[self.op](gang.size) * out.nbytes if self.op != "broadcast" or gang.rank == 0 else 0
        work = Work(items=out.nbytes / gang.size, unit="byte", wire=sent)
        return Workload(step, check=check, work=work, reset=reset)

    def exact(self, pattern: ExactPattern, gang: Gang) -> torch.Tensor:
        """What this rank gets, in closed form."""
        block = pattern.numbers // gang.size
        mine = gang.span(pattern.numbers).start
        if self.op == "all_reduce":
            return pattern.total()
        if self.op == "reduce_scatter":
            return pattern.total(mine, block)
        if self.op == "broadcast":
            return pattern.of(0)
        starts = [rank * block if self.op == "all_gather" else mine for rank in range(gang.size)]
        return torch.cat([pattern.of(rank, start, block) for rank, start in enumerate(starts)])

    def _library(self, gang: Gang, mine: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
        if self.op == "all_reduce":
            dist.all_reduce(out.copy_(mine), group=gang.group)
        elif self.op == "broadcast":
            dist.broadcast(out, group_src=0, group=gang.group)
        elif self.op == "all_gather":
            all_gather(out.view(-1), mine[gang.rank], group=gang.group)
        elif self.op == "reduce_scatter":
            reduce_scatter(out[0], mine.view(-1), group=gang.group)
            return out[0]
        else:
            dist.all_to_all_single(out, mine, group=gang.group)
        return out

    def _two_phase(self, gang: Gang, mine: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
        part = torch.empty_like(mine[0])
        if self.op == "all_reduce":
            reduce_scatter(part, mine.view(-1), group=gang.group)
        else:
            dist.scatter(part, list(out) if gang.rank == 0 else None, group_src=0, group=gang.group)
        all_gather(out.view(-1), part, group=gang.group)
        return out

    def _chunked(self, gang: Gang, mine: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
        columns = out.shape[1] // PIECES
        whole: dict[str, Any] = {"group": gang.group, "async_op": True}
        if self.op in ("all_reduce", "broadcast"):
            pieces = (out.copy_(mine) if self.op == "all_reduce" else out).view(-1).chunk(PIECES)
            reduce = self.op == "all_reduce"
            _finish([dist.all_reduce(each, **whole) if reduce else dist.broadcast(each, group_src=0, **whole)
                     for each in pieces])  # fmt: skip
            return out
        given = mine.view(gang.size, PIECES, columns).transpose(0, 1).contiguous()
        if self.op == "reduce_scatter":
            parts = out[0].view(PIECES, columns)
            _finish([reduce_scatter(part, one.view(-1), **whole) for part, one in zip(parts, given, strict=True)])
            return out[0]
        taken = torch.empty_like(given)
        if self.op == "all_gather":
            _finish([all_gather(into.view(-1), one[gang.rank], **whole)
                     for into, one in zip(taken, given, strict=True)])  # fmt: skip
        else:
            _finish([dist.all_to_all_single(*pair, **whole) for pair in zip(taken, given, strict=True)])
        out.view(gang.size, PIECES, columns).copy_(taken.transpose(0, 1))
        return out

    def _by_hand(self, gang: Gang, mine: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
        if self.op == "all_reduce":
            return rings.all_reduce(gang, out.copy_(mine))
        if self.op == "reduce_scatter":
            return rings.reduce_scatter(gang, out.copy_(mine))
        if self.op == "all_to_all":
            return rings.all_to_all(gang, mine, out)
        if self.op == "broadcast":
            return rings.broadcast(gang, out)
        out[gang.rank] = mine[gang.rank]
        return rings.all_gather(gang, out)


def _finish(messages: list[Any]) -> None:
    for message in messages:
        message.wait()
