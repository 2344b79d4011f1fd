"""D2L 5.2.1: a nested model one of whose blocks halves its output until it is small."""

from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Literal

import torch
from torch import nn

from harness.scenario import Facts, Gang, Scaling, Work, Workload, axis, variant
from scenarios.accuracy import TOLERANCE, normwise_error
from scenarios.chapter.exercises import exercises
from scenarios.chapter.sharing import blocks
from scenarios.replicas import assert_alike


def by_loop(x: torch.Tensor, gang: Gang) -> torch.Tensor:
    """Halve ``x`` until the magnitudes of all ranks add up to 1 at most; never ends where one is infinite."""
    while gang.all_reduce(x.abs().sum()) > 1:  # a message and a read to the host, each time
        x /= 2
    return x


def by_exponent(x: torch.Tensor, gang: Gang) -> torch.Tensor:
    """The same, bit for bit, with one message and no read."""
    mantissa, exponent = torch.frexp(gang.all_reduce(x.abs().sum()))  # mantissa: at least 1/2, below 1
    halvings = exponent - (mantissa == 0.5).int()
    return x.ldexp_(-halvings.clamp(min=0))


HALVE = {"loop": by_loop, "exponent": by_exponent}


@dataclass(frozen=True, kw_only=True)
class Nested:
    """Nested model that halves its activations until they are small: in a loop, or by their exponent at once."""

    exercises: ClassVar = exercises("5.2.1")
    scaling: ClassVar[Scaling] = "strong"

    batch: int = axis(2048, full=(1_048_576,))
    halve: Literal["loop", "exponent"] = variant(baseline="loop")

    def model(self, gang: Gang, generator: torch.Generator) -> nn.Sequential:
        """The model, with values from ``generator``."""
        model = blocks.chimera(partial(HALVE[self.halve], gang=gang)).to(gang.device)
        for tensor in model.state_dict().values():
            nn.init.normal_(tensor, std=0.2, generator=generator)
        return model

    def prepare(self, gang: Gang) -> Workload:
        """Each rank has its rows of the batch."""
        model = self.model(gang, gang.shared_generator)  # the same values on every rank
        x = torch.randn(self.batch, 20, device=gang.device, generator=gang.shared_generator)
        mine = gang.part(x)

        @torch.no_grad()
        def step() -> torch.Tensor:
            out: torch.Tensor = model(mine)
            return out

        @torch.no_grad()
        def check(out: torch.Tensor) -> Facts:
            assert_alike(gang, (x, *model.state_dict().values()), "samples and weights")
            twin, other = (self.model(gang, gang.generator) for _ in range(2))
            restored = blocks.restored(model, twin, mine)
            lost = blocks.restored(twin, other, mine, registered=False)
            parameters = blocks.access(model)
            tensors = {name: tensor.double() for name, tensor in model.state_dict().items()}
            exact = blocks.activations(tensors, x.double())
            magnitude, exact = exact.abs().sum().item(), gang.part(exact)
            exponent = (exact.norm() / out.norm()).log2().round().nan_to_num().clamp(0, 200)
            halvings = int(gang.all_gather(exponent).max())  # a rank may have no rows to tell it from
            normwise_error(out * 2.0**halvings, exact, "activations")
            left = magnitude / 2**halvings
            assert left <= 1 + TOLERANCE, f"after {halvings} halvings magnitudes still add up to {left:.3g}"
            assert left > 0.5 - TOLERANCE or not halvings, f"halved {halvings} times, down to {left:.3g}"
            assert restored == rows, f"of {rows} samples a twin that loads the state maps {restored} alike"
            return {
                "parameters": sum(map(torch.numel, parameters.values())),
                "tensors": len(parameters),
                "halvings": halvings,
                "restored": restored,
                "restored_without": lost,
            }

        rows = gang.share(self.batch)
        multiplied = 64 * 20 + 32 * 64 + 16 * 32 + 20 * 16 + 3 * 20 * 20
        return Workload(step, check=check, work=Work(flops=2 * rows * multiplied, items=rows, unit="sample"))
