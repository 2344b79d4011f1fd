"""D2L 5.4.1: a layer of quadratic forms, y_k = Σ_ij W_ijk x_i x_j, its sums ordered in several ways."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it
from torch import Tensor, nn

from harness.scenario import Facts, Gang, Scaling, Work, Workload, axis, variant
from scenarios.accuracy import normwise_error, tolerance
from scenarios.chapter.exercises import exercises

LAYERS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "einsum": lambda x, weight: torch.einsum("bi,bj,ijk->bk", x, x, weight),
    "outer": lambda x, weight: (x[:, :, None] * x[:, None, :]).flatten(1) @ weight.flatten(0, 1),
    "contract": lambda x, weight: torch.einsum("bj,bjk->bk", x, torch.tensordot(x, weight, dims=1)),
    "bilinear": lambda x, weight: F.bilinear(x, x, weight.permute(2, 0, 1)),
}
"""From ``x`` ``[batch, n]`` and ``weight`` ``[n, n, k]`` to ``[batch, k]``. Without opt_einsum, einsum goes from the
left and so by way of every x_i x_j, as ``outer`` does; ``contract`` and ``bilinear`` sum over i first."""


@dataclass(frozen=True, kw_only=True)
class Quadratic:
    """Quadratic forms of a vector: one einsum, an outer product and one GEMM, two contractions, or nn.Bilinear's.

    Each rank has some of the forms; every rank gets the values of all.
    """

    exercises: ClassVar = exercises("5.4.1")
    scaling: ClassVar[Scaling] = "strong"

    batch: int = 64
    inputs: int = axis(128, full=(512,))
    outputs: int = axis(256, full=(16, 1024))
    way: Literal["einsum", "outer", "contract", "bilinear"] = variant(baseline="einsum")

    def memory(self, ranks: int) -> int:
        """Every rank draws all forms, and keeps a part of them."""
        return 4 * self.outputs * self.inputs**2 * (ranks + 1) // ranks

    def prepare(self, gang: Gang) -> Workload:
        """Draw the input and all forms alike on every rank, and keep this rank's forms as its parameter."""
        n, layer, limit = self.inputs, LAYERS[self.way], tolerance(self.inputs**2)
        x = torch.randn(self.batch, n, device=gang.device, generator=gang.shared_generator)
        forms = torch.randn(self.outputs, n, n, device=gang.device, generator=gang.shared_generator)
        exact = torch.stack([_values(x.double(), form.double()) for form in forms], dim=1)
        mine = gang.part(forms).permute(1, 2, 0)  # W_ijk, with k the slowest in memory as bilinear reads it
        layout = torch.preserve_format if self.way == "bilinear" else torch.contiguous_format
        weight = nn.Parameter(mine.clone(memory_format=layout))
        slopes = torch.randn(self.batch, mine.shape[2], device=gang.device, generator=gang.generator)

        def step() -> tuple[Tensor, Tensor]:
            part = layer(x, weight)
            return part, gang.join(part.detach(), self.outputs, dim=1)

        def check(output: tuple[Tensor, Tensor]) -> Facts:
            part, everyone = output
            parameters = int(gang.all_reduce(torch.tensor(float(weight.numel()), device=x.device)))
            due = gang.part(exact, dim=1)
            normwise_error(everyone, exact, limit=limit)
            normwise_error(part, due, limit=limit)
            assert part.requires_grad, "no gradient reaches the weight"
            (gradient,) = torch.autograd.grad(part, weight, slopes, retain_graph=True)
            for column, slope in zip(gradient.unbind(2), slopes.double().unbind(1), strict=True):
                normwise_error(column, (x.double() * slope[:, None]).T @ x.double(), "a form's gradient")
            for scale in (3, -1):
                scaled = (scale * x).requires_grad_()
                values = layer(scaled, weight)
                normwise_error(values, scale**2 * due, limit=limit)
                (gradient,) = torch.autograd.grad(values, scaled, slopes)
                exact_gradient = scale * _slopes(x.double(), weight.detach(), slopes)
                normwise_error(gradient, exact_gradient, "the input's gradient", limit=limit)
            assert parameters == n * n * self.outputs, f"{parameters} parameters on all ranks"
            return {"parameters": parameters}

        moved = 4 * (x.numel() + weight.numel() + exact.numel())
        samples = self.batch * mine.shape[2] / self.outputs
        work = Work(flops=2 * self.batch * weight.numel(), bytes=moved, items=samples, unit="sample")
        return Workload(step, check=check, work=work)


def _values(x: Tensor, form: Tensor) -> Tensor:
    """One form's value at each row of ``x``: x W xᵀ."""
    return (x @ form @ x.T).diagonal()


def _slopes(x: Tensor, weight: Tensor, slopes: Tensor) -> Tensor:
    """The gradient of the forms' values, summed with ``slopes`` ``[batch, k]``: of x W xᵀ it is (W + Wᵀ) x."""
    columns = zip(weight.unbind(2), slopes.unbind(1), strict=True)
    return sum((slope[:, None] * (x @ (form + form.T).double()) for form, slope in columns), torch.zeros_like(x))
