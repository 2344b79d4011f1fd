"""Data-parallel gradients of a small GPT: in one message after the backward pass, or by DDP while it runs."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
import torch.distributed as dist
from torch._C._distributed_c10d import GradBucket
from torch.nn.parallel import DistributedDataParallel

from harness.scenario import Facts, Gang, Scaling, Work, Workload, axis, variant
from scenarios.workloads import gradients
from scenarios.workloads.gpt import GPT, Shape, seed_of, sequences

BUCKET_MB = {"default": 25, "bf16": 25, "one_bucket": 1 << 20, "small_buckets": 1}
"""What DDP gathers into one message."""
ROUNDED = 1e-2
"""Normwise error of gradients that were rounded to bf16 on their way."""


@dataclass(frozen=True, kw_only=True)
class DataParallel:
    """Gradients of a small GPT over all ranks' batches: one all-reduce after the backward pass, or DDP's buckets."""

    scaling: ClassVar[Scaling] = "weak"

    width: int = axis(128, full=(256, 1024))
    layers: int = axis(2, full=(12,))
    context: int = axis(32, full=(256,))
    batch: int = axis(8, full=(16,))
    accumulate: int = axis(1, full=(1, 4))
    how: Literal["default", "manual", "one_bucket", "small_buckets", "bf16"] = variant(baseline="default")

    @property
    def shape(self) -> Shape:
        """The model's size."""
        return Shape(self.width, self.layers, self.context)

    def memory(self, ranks: int) -> int:  # noqa: ARG002 - each rank has all of it
        """Parameters and gradients."""
        return 8 * self.shape.parameters

    def prepare(self, gang: Gang) -> Workload:
        """Give every rank the same weights and sequences of its own."""
        seed = seed_of(gang)
        plain = GPT(self.shape, seed, gang.device)
        tokens = sequences(gang, self.batch * self.accumulate, self.shape)
        model, reduce = self.parallel(gang, plain)
        parts = tokens.chunk(self.accumulate)

        def step() -> list[torch.Tensor | None]:
            plain.zero_grad(set_to_none=True)
            for number, part in enumerate(parts, 1):
                waits = number < len(parts) and isinstance(model, DistributedDataParallel)
                with model.no_sync() if waits else nullcontext():
                    (model(part) / len(parts)).backward()
            reduce()
            return [weight.grad for weight in plain.parameters()]

        def check(found: list[torch.Tensor | None]) -> Facts:
            limit = ROUNDED if self.how == "bf16" else gradients.LIMIT
            fresh = GPT(self.shape, seed, gang.device)
            return {"error": gradients.compare(gang, found, fresh, tokens, limit), "parameters": self.shape.parameters}

        trained = tokens.shape[0] * self.context
        wire = gradients.declared_wire(gang, self.shape, 2 if self.how == "bf16" else 4)
        work = Work(flops=self.shape.flops(trained), items=trained, unit="token", wire=wire)
        return Workload(step, check=check, work=work)

    def parallel(self, gang: Gang, plain: GPT) -> tuple[Any, Callable[[], None]]:
        """What is called in place of the model, and what follows its backward pass."""
        if self.how == "manual":
            return plain, lambda: average(gang, [weight.grad for weight in plain.parameters()])
        model = DistributedDataParallel(plain, process_group=gang.group, bucket_cap_mb=BUCKET_MB[self.how])
        if self.how == "bf16":
            model.register_comm_hook(gang.group, halved)
        return model, lambda: None


def average(gang: Gang, parts: list[torch.Tensor | None]) -> None:
    """Replace gradients by their means over the ranks, in one message."""
    present = [part for part in parts if part is not None]
    flat = torch.cat([part.flatten() for part in present])
    dist.all_reduce(flat, group=gang.group)
    flat /= gang.size
    means = flat.split([part.numel() for part in present])
    torch._foreach_copy_(present, [mean.view_as(part) for mean, part in zip(means, present, strict=True)])


def halved(group: dist.ProcessGroup, bucket: GradBucket) -> torch.futures.Future[torch.Tensor]:
    """DDP's hook that sends a bucket in bf16: PyTorch's own, but for its refusal of devices without NCCL."""
    rounded = bucket.buffer().to(torch.bfloat16).div_(group.size())
    message: Any = dist.all_reduce(rounded, group=group, async_op=True)

    def restored(future: torch.futures.Future[list[torch.Tensor]]) -> torch.Tensor:
        (received,) = future.value()
        return bucket.buffer().copy_(received)

    after: torch.futures.Future[torch.Tensor] = message.get_future().then(restored)
    return after
