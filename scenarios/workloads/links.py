"""Messages between ranks whose numbers differ by a power of two: which link is slow, or which device."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch

from harness.scenario import Facts, Gang, Scaling, Skip, Work, Workload, axis, exact_pattern, variant
from scenarios.workloads.rings import exchange


@dataclass(frozen=True, kw_only=True)
class Links:
    """Messages between pairs of ranks whose numbers differ by a power of two: one way, or both ways at once."""

    scaling: ClassVar[Scaling] = "none"
    ranks: ClassVar = (2, None)

    hop: int = axis(0, 1, 2, full=tuple(range(10)))
    size: int = axis(2**24, 2**16)
    how: Literal["one_way", "both_ways"] = variant(baseline="one_way")

    def memory(self, ranks: int) -> int:  # noqa: ARG002 - the same for any number
        """A message that goes and one that comes."""
        return 2 * self.size

    def prepare(self, gang: Gang) -> Workload:
        """Stamp a message with its source. Of a number of ranks that is no power of two, each sends on to a next."""
        distance = 2**self.hop
        if distance >= gang.size:
            raise Skip(f"no two of {gang.size} ranks are {distance} apart")
        pairs = gang.size & (gang.size - 1) == 0
        to, source = (
            (gang.rank ^ distance, gang.rank ^ distance)
            if pairs
            else ((gang.rank + distance) % gang.size, (gang.rank - distance) % gang.size)
        )
        both = self.how == "both_ways" or not pairs
        sends, receives = (both or bool(gang.rank & distance) == upper for upper in (False, True))
        pattern = exact_pattern(gang.size, max(1, self.size // 4), torch.float32, gang.device, summed=False)
        outgoing = pattern.of(gang.rank)
        incoming = torch.zeros_like(outgoing)

        def reset() -> None:
            incoming.zero_()

        def step() -> torch.Tensor:
            exchange(gang, outgoing if sends else None, to, incoming if receives else None, source)
            return incoming

        def check(received: torch.Tensor) -> Facts:
            exact = pattern.of(source) if receives else torch.zeros_like(outgoing)
            wrong = int((received != exact).sum())
            assert not wrong, f"{wrong} of {exact.numel()} numbers are not what rank {source} sent"
            return {"partner": to}

        work = Work(items=outgoing.nbytes / 2, unit="byte", wire=outgoing.nbytes if sends else 0)
        return Workload(step, check=check, work=work, reset=reset, asymmetric=not both)
