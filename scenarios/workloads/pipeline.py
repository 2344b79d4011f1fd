"""A network's layers spread over the ranks: the whole batch at once, or microbatches that follow one another."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import nn
from torch.distributed.pipelining import PipelineStage, Schedule1F1B, ScheduleGPipe
from torch.nn import functional

from harness.scenario import Facts, Gang, Scaling, Skip, Work, Workload, axis, exact_gradients, variant
from scenarios.accuracy import normwise_error

LIMIT = 3e-5
"""Normwise relative error of loss and gradients in fp32."""


@dataclass(frozen=True, kw_only=True)
class Pipeline:
    """Loss and gradients of a stack of layers, some on each rank: in one batch, by GPipe, or by 1F1B."""

    scaling: ClassVar[Scaling] = "strong"

    layers: int = 8
    width: int = axis(128, full=(2048,))
    batch: int = axis(64, full=(512,))
    microbatches: int = axis(8, full=(4, 8, 16))
    how: Literal["one_batch", "gpipe", "1f1b"] = variant(baseline="one_batch")

    def prepare(self, gang: Gang) -> Workload:
        """Draw the network, its inputs and targets, which all ranks know; each rank keeps its layers."""
        parts = 1 if self.how == "one_batch" else self.microbatches
        if self.layers % gang.size or self.batch % parts or (self.how == "1f1b" and parts < gang.size):
            raise Skip(f"{gang.size} ranks do not divide {self.layers} layers, or {parts} microbatches the batch")
        whole = self.network(gang)
        x, target = (
            torch.randn(self.batch, self.width, device=gang.device, generator=gang.shared_generator) for _ in range(2)
        )
        here = gang.span(self.layers)
        layers = self.network(gang, whole)[here]
        first, last = gang.rank == 0, gang.rank == gang.size - 1
        stage = PipelineStage(layers, gang.rank, gang.size, gang.device, group=gang.group)
        kind = Schedule1F1B if self.how == "1f1b" else ScheduleGPipe
        schedule = kind(stage, parts, loss_fn=functional.mse_loss)

        def step() -> tuple[list[torch.Tensor], list[torch.Tensor | None]]:
            layers.zero_grad(set_to_none=True)
            losses: list[torch.Tensor] = []
            given: dict[str, Any] = {"target": target, "losses": losses} if last else {}
            schedule.step(*([x] if first else []), return_outputs=False, **given)
            return losses, [weight.grad for weight in layers.parameters()]

        def check(output: tuple[list[torch.Tensor], list[torch.Tensor | None]]) -> Facts:
            losses, found = output
            exact = exact_gradients(whole, lambda double: functional.mse_loss(double(x.double()), target.double()))
            present = [each for each in found if each is not None]
            assert len(present) == here.stop - here.start, f"{len(present)} of its layers have gradients"
            error = max(
                normwise_error(each, due, "a layer's gradient", limit=LIMIT)
                for each, due in zip(present, exact[here], strict=True)
            )
            if last:
                due = functional.mse_loss(whole.double()(x.double()), target.double()).detach()
                whole.float()
                assert len(losses) == parts, f"{len(losses)} losses of {parts} microbatches"
                error = max(error, normwise_error(torch.stack(losses).mean().detach(), due, "the loss", limit=LIMIT))
            return {"error": error, "bubble": (gang.size - 1) / (parts + gang.size - 1)}

        product = 2 * self.batch * self.width**2
        flops = product * (3 * self.layers / gang.size - first)  # nobody asks for a gradient of the inputs
        boundaries = 2 - first - last
        work = Work(
            flops=flops, items=self.batch / gang.size, unit="sample", wire=4 * self.batch * self.width * boundaries
        )
        return Workload(step, check=check, work=work)

    def network(self, gang: Gang, like: nn.Sequential | None = None) -> nn.Sequential:
        """All layers, drawn alike on every rank, or copies of those of another."""
        layers = [Layer(self.width, gang.device) for _ in range(self.layers)]
        for number, layer in enumerate(layers):
            if like is None:
                nn.init.normal_(layer.weight, std=1.5 * self.width**-0.5, generator=gang.shared_generator)
            else:
                layer.load_state_dict(like[number].state_dict())
        return nn.Sequential(*layers)


class Layer(nn.Module):
    """A linear layer and a GELU, beside a shortcut."""

    def __init__(self, width: int, device: torch.device) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width, width, device=device))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map activations ``[batch, width]`` to others of that shape."""
        return x + functional.gelu(x @ self.weight)
