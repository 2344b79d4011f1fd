"""A feed-forward layer with its gradients: tokens over the ranks, or its columns and rows, by DTensor and by hand."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.tensor import DTensor, Replicate, Shard
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module
from torch.nn import functional

from harness.scenario import Facts, Gang, Scaling, Skip, Work, Workload, axis, variant
from scenarios.accuracy import normwise_error, tolerance

Tensors = tuple[torch.Tensor, ...]
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
ROUNDINGS = 3
"""A gradient of the input went through three products and a GELU, and each rounds once."""


class Enter(torch.autograd.Function):
    """The identity; its gradient is summed over the ranks."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, group: dist.ProcessGroup) -> torch.Tensor:
        """Keep the group for the backward pass."""
        ctx.group = group
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        """Sum what each rank's columns ask of the input."""
        total = gradients[0].clone()
        dist.all_reduce(total, group=ctx.group)
        return total, None


class Leave(torch.autograd.Function):
    """A sum over the ranks; its gradient is the same on each."""

    @staticmethod
    def forward(ctx: Any, part: torch.Tensor, group: dist.ProcessGroup) -> torch.Tensor:  # noqa: ARG004
        """Sum what each rank's rows give."""
        total = part.clone()
        dist.all_reduce(total, group=group)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:  # noqa: ARG004
        """Hand the gradient on."""
        return gradients[0], None


class FeedForward(nn.Module):
    """Two linear layers around a GELU."""

    def __init__(self, up: torch.Tensor, down: torch.Tensor) -> None:
        super().__init__()
        self.up, self.down = (nn.Linear(w.shape[1], w.shape[0], bias=False, device="meta") for w in (up, down))
        self.up.weight, self.down.weight = (nn.Parameter(weight) for weight in (up, down))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map activations ``[tokens, width]`` to others of that shape."""
        return self.down(functional.gelu(self.up(x)))  # type: ignore[no-any-return]


@dataclass(frozen=True, kw_only=True)
class TensorParallel:
    """A feed-forward layer's output and gradients: replicated weights and shared tokens, or shared weights."""

    scaling: ClassVar[Scaling] = "strong"

    width: int = axis(256, full=(1024, 4096))
    tokens: int = axis(512, full=(2048, 8192))
    dtype: Literal["float32", "bfloat16"] = axis("float32", full=("float32", "bfloat16"))
    how: Literal["replicated", "by_hand", "dtensor", "sequence"] = variant(baseline="replicated")

    def prepare(self, gang: Gang) -> Workload:
        """Draw one layer, one batch of tokens and one gradient of the output, which all ranks know."""
        if self.tokens % gang.size or 4 * self.width % gang.size:
            raise Skip(f"{gang.size} ranks divide neither {self.tokens} tokens nor {4 * self.width} columns evenly")
        kind = DTYPES[self.dtype]
        sizes = (4 * self.width, self.width), (self.width, 4 * self.width), (self.tokens, self.width)
        drawn = [
            torch.randn(size, device=gang.device, generator=gang.shared_generator).div_(size[1] ** 0.5).to(kind)
            for size in (*sizes, sizes[2])
        ]
        up, down, x, due = drawn
        model = self.parallel(gang, up.clone(), down.clone())
        spread = self.how in ("replicated", "sequence")
        mine, given = ((gang.part(each) if spread else each).clone() for each in (x, due))
        leaf = mine.requires_grad_()

        def step() -> Tensors:
            model.zero_grad(set_to_none=True)
            leaf.grad = None
            y = self.run(gang, model, leaf)
            y.backward(given)
            weights = [weight.grad for weight in model.parameters() if weight.grad is not None]
            if self.how == "replicated":
                for gradient in weights:
                    dist.all_reduce(gradient, group=gang.group)
            assert leaf.grad is not None
            return y.detach(), leaf.grad, *(local(each) for each in weights)

        def check(output: Tensors) -> Facts:
            exact = reference(up, down, x, due)
            wanted = [gang.part(each) if spread else each for each in exact[:2]]
            whole = self.how == "replicated"
            wanted += [each if whole else gang.part(each, dim) for dim, each in enumerate(exact[2:])]
            names = "output", "gradient of the input", "gradient of up", "gradient of down"
            assert len(output) == len(names), f"{len(output)} tensors, where {len(names)} are due"
            limit = ROUNDINGS * tolerance(4 * self.width, kind)
            errors = [normwise_error(*each, limit=limit) for each in zip(output, wanted, names, strict=True)]
            return {"error": max(errors)}

        flops = 6 * 8 * self.tokens * self.width**2 / gang.size  # two products, each with two gradients
        work = Work(flops=flops, items=self.tokens / gang.size, unit="token", wire=self.wire(gang, kind))
        return Workload(step, check=check, work=work)

    def parallel(self, gang: Gang, up: torch.Tensor, down: torch.Tensor) -> FeedForward:
        """The layer as this rank holds it: all of it, or columns of the first matrix and rows of the second."""
        if self.how == "replicated":
            return FeedForward(up, down)
        if self.how == "by_hand":
            return FeedForward(gang.part(up).clone(), gang.part(down, 1).clone())
        tokens = Shard(0) if self.how == "sequence" else Replicate()
        plan = {"up": ColwiseParallel(input_layouts=tokens), "down": RowwiseParallel(output_layouts=tokens)}
        model = parallelize_module(FeedForward(up, down), gang.mesh, plan)
        assert isinstance(model, FeedForward)
        return model

    def run(self, gang: Gang, model: FeedForward, x: torch.Tensor) -> torch.Tensor:
        """The forward pass on what this rank has of the tokens."""
        if self.how != "by_hand":
            return model(x)  # type: ignore[no-any-return]
        part: torch.Tensor = model(Enter.apply(x, gang.group))  # type: ignore[no-untyped-call]
        return Leave.apply(part, gang.group)  # type: ignore[no-any-return, no-untyped-call]

    def wire(self, gang: Gang, kind: torch.dtype) -> float:
        """Bytes that a rank must send: gradients of both matrices, or activations forward and gradients backward."""
        numbers = 8 * self.width**2 if self.how == "replicated" else 2 * self.tokens * self.width
        return 2 * (gang.size - 1) / gang.size * numbers * kind.itemsize


def reference(up: torch.Tensor, down: torch.Tensor, x: torch.Tensor, due: torch.Tensor) -> Tensors:
    """Output and gradients of input, first and second matrix, in float64, of the layer in one piece."""
    w1, w2, given = (each.double().requires_grad_() for each in (up, down, x))
    y = functional.gelu(given @ w1.T) @ w2.T
    return y.detach(), *torch.autograd.grad(y, (given, w1, w2), due.double())


def local(tensor: torch.Tensor) -> torch.Tensor:
    """What this rank has of a tensor."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor
