"""D2L 5.4.2: a layer that returns the leading half of its input's Fourier coefficients."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Literal

import torch
from torch import Tensor

from harness.scenario import Facts, Gang, Scaling, Work, Workload, axis, variant
from scenarios.accuracy import TOLERANCE, normwise_error
from scenarios.chapter.exercises import exercises
from scenarios.replicas import assert_alike


@dataclass(frozen=True, kw_only=True)
class Fourier:
    """The leading half of the spectrum: cut from a full transform, from a transform of real data, or by one GEMM.

    Half of n coefficients are the first n // 2 + 1: for real data they tell all others. Each rank keeps its samples'.
    """

    exercises: ClassVar = exercises("5.4.2")
    scaling: ClassVar[Scaling] = "strong"

    batch: int = axis(4096, full=(16384,))
    size: int = axis(256, full=(257, 4096, 4099))
    way: Literal["full", "real", "matrix"] = variant(baseline="full")

    def memory(self, ranks: int) -> int:
        """Every rank draws all samples, and transforms a part of them."""
        return 4 * self.batch * self.size * (ranks + 1) // ranks

    def layer(self, device: torch.device) -> Callable[[Tensor], Tensor]:
        """What takes real ``[..., size]`` to complex ``[..., size // 2 + 1]``, in fp32 or fp64.

        Half a spectrum does not tell complex data: ``full`` alone takes them, and the others raise RuntimeError.
        """
        half = self.size // 2 + 1
        if self.way == "full":
            return lambda x: torch.fft.fft(x)[..., :half]
        if self.way == "real":
            return partial(torch.fft.rfft, dim=-1)
        unit = torch.eye(self.size, dtype=torch.float64, device=device)
        exact = torch.view_as_real(torch.fft.rfft(unit)).flatten(1)  # a column a real or imaginary part
        single = exact.float()

        def product(x: Tensor) -> Tensor:
            return torch.view_as_complex((x @ (exact if x.dtype == exact.dtype else single)).unflatten(-1, (half, 2)))

        return product

    def prepare(self, gang: Gang) -> Workload:
        """All samples are alike on every rank, which transforms its own."""
        samples = torch.randn(self.batch, self.size, device=gang.device, generator=gang.shared_generator)
        x, half = gang.part(samples), self.size // 2 + 1
        idle = x.new_empty(0, half, dtype=torch.complex64)  # MKL refuses to transform no samples
        layer = self.layer(gang.device) if len(x) else lambda _: idle

        def reset() -> None:  # changes every coefficient: those of an earlier step are wrong
            samples[:, 0] = torch.randn(self.batch, device=gang.device, generator=gang.shared_generator)

        def check(spectrum: Tensor) -> Facts:
            assert_alike(gang, [samples], "samples")
            exact = dft(gang.part(samples), half)
            assert spectrum.shape == exact.shape, f"shape {tuple(spectrum.shape)} where {tuple(exact.shape)} is due"
            error = torch.linalg.norm(spectrum - exact, dim=1) / torch.linalg.norm(exact, dim=1)
            assert (error <= TOLERANCE).all(), f"relative error {error.max():.1e} (limit {TOLERANCE})"
            if len(x):
                back = torch.fft.irfft(spectrum.to(exact.dtype), n=self.size)
                normwise_error(back, x.double(), "what the coefficients give back")
            return {"coefficients": spectrum.shape[1], "kept_bytes": spectrum.untyped_storage().nbytes()}

        work = Work(bytes=len(x) * (4 * self.size + 8 * half), items=len(x), unit="transform")
        return Workload(lambda: layer(x), check=check, work=work, reset=reset)


def dft(x: Tensor, count: int) -> Tensor:
    """The first ``count`` Fourier coefficients of each row of ``x``, by their definition, in float64."""
    n = x.shape[1]
    time, frequency = torch.arange(n, device=x.device), torch.arange(count, device=x.device)
    angle = (torch.outer(time, frequency) % n).double() * (-2 * math.pi / n)  # whole turns would cost digits
    return torch.complex(x.double() @ angle.cos(), x.double() @ angle.sin())
