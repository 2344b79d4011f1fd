"""Data-parallel gradients of a small GPT: eager, compiled in one graph, or cut where DDP's buckets end."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch._inductor import exc
from torch._inductor.cpp_builder import get_cpp_compiler
from torch.nn.parallel import DistributedDataParallel
from torch.utils._triton import has_triton

from harness.scenario import Facts, Gang, Scaling, Skip, Work, Workload, axis, variant
from scenarios.workloads import gradients
from scenarios.workloads.gpt import GPT, Shape, seed_of, sequences

BUCKET_MB = 1
"""DDP's; a graph is cut there, so that a bucket is sent while the rest of the backward pass runs."""


@dataclass(frozen=True, kw_only=True)
class Compile:
    """Gradients of a small GPT by DDP: eager, of a compiled model, or compiled together with DDP."""

    scaling: ClassVar[Scaling] = "weak"

    width: int = axis(128, full=(256, 1024))
    layers: int = axis(2, full=(12,))
    context: int = axis(32, full=(256,))
    batch: int = axis(8, full=(16,))
    backend: Literal["inductor", "aot_eager", "eager"] = axis("inductor")
    how: Literal["eager", "compiled", "compiled_ddp"] = variant(baseline="eager")

    @property
    def shape(self) -> Shape:
        """The model's size."""
        return Shape(self.width, self.layers, self.context)

    def prepare(self, gang: Gang) -> Workload:
        """Give every rank the same weights and sequences of its own."""
        if self.how != "eager" and self.backend == "inductor" and (reason := no_compiler(gang.device)):
            raise Skip(reason)
        seed = seed_of(gang)
        plain = GPT(self.shape, seed, gang.device)
        tokens = sequences(gang, self.batch, self.shape)
        model = self.parallel(gang, plain)

        def step() -> list[torch.Tensor | None]:
            plain.zero_grad(set_to_none=True)
            model(tokens).backward()
            return [weight.grad for weight in plain.parameters()]

        def check(output: list[torch.Tensor | None]) -> Facts:
            fresh = GPT(self.shape, seed, gang.device)
            return {"error": gradients.compare(gang, output, fresh, tokens), "parameters": self.shape.parameters}

        trained = self.batch * self.context
        wire = gradients.declared_wire(gang, self.shape)
        work = Work(flops=self.shape.flops(trained), items=trained, unit="token", wire=wire)
        return Workload(step, check=check, work=work)

    def parallel(self, gang: Gang, plain: GPT) -> Any:
        """What is called in place of the model."""
        inner = torch.compile(plain, backend=self.backend) if self.how == "compiled" else plain
        model = DistributedDataParallel(inner, process_group=gang.group, bucket_cap_mb=BUCKET_MB)
        return torch.compile(model, backend=self.backend) if self.how == "compiled_ddp" else model


def no_compiler(device: torch.device) -> str:
    """Why Inductor cannot compile for a device; nothing where it can."""
    if device.type == "cuda":
        return "" if has_triton() else "torch.compile needs Triton for GPUs, and it is not installed"
    try:
        get_cpp_compiler()
    except exc.InvalidCxxCompiler:
        return "torch.compile needs a C++ compiler for CPUs, and there is none"
    return ""
