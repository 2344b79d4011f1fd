"""D2L 5.2.4: a filter is fitted to a few samples, one that all positions of a signal share, or one for each."""

from dataclasses import dataclass, replace
from itertools import chain
from typing import ClassVar, Literal

import torch

from harness.gang import seeded
from harness.scenario import Facts, Gang, Scaling, Work, Workload, axis, variant
from scenarios.accuracy import normwise_error
from scenarios.chapter.exercises import exercises

TAPS = 9
DRAWS = 7
"""Independent draws of the task: the median of what they come from lies between their extremes in 98 % of cases."""
NOISE = 0.5
"""Standard deviation of what no filter explains; a filter's output has 1."""
TOLERANCE = 1e-5
"""Normwise relative error that filters in fp32 may have against float64; untied ones in TF32 have 1e-4."""


@dataclass(frozen=True, kw_only=True)
class Symmetry:
    """Least-squares fit of filters to few samples: a filter for each position of a signal, or one that all share."""

    exercises: ClassVar = exercises("5.2.4")
    scaling: ClassVar[Scaling] = "strong"

    samples: int = 64
    length: int = axis(1024, full=(262_144,))
    filters: Literal["untied", "tied"] = variant(baseline="untied")

    def equations(self, gang: Gang) -> tuple[torch.Tensor, torch.Tensor]:
        """True filters ``[length, TAPS, 2]``, and at each position a row for each sample: a window and two answers.

        One answer is made by a filter that is alike at all positions, the other by filters that differ.
        """

        def draw(*shape: int) -> torch.Tensor:
            return torch.randn(shape, device=gang.device, generator=gang.shared_generator)

        alike, apart = draw(1, TAPS).expand(self.length, TAPS), draw(self.length, TAPS)
        truth = torch.nn.functional.normalize(torch.stack([alike, apart], -1), dim=1)
        windows = draw(self.samples, self.length + TAPS - 1).unfold(1, TAPS, 1).transpose(0, 1)
        answers = windows @ truth + NOISE * draw(self.length, self.samples, 2)
        return truth, torch.cat([windows, answers], -1)

    def fitted(self, equations: torch.Tensor) -> torch.Tensor:
        """The filters of this variant that fit best, in float64: shape ``[1 or length, TAPS, 2]``."""
        rows = (equations.flatten(0, 1)[None] if self.filters == "tied" else equations).double()
        r = torch.linalg.qr(rows, mode="r").R  # of the equations themselves: nothing is squared
        solved: torch.Tensor = torch.linalg.solve_triangular(r[:, :TAPS, :TAPS], r[:, :TAPS, TAPS:], upper=True)
        return solved

    def errors(self, gang: Gang) -> Facts:
        """Squared errors on new signals, relative to the answers' own: of several draws the least, median and most.

        A draw has filters, signals and noise of its own, and is the same in every variant.
        """
        short = replace(self, length=min(self.length, 256))
        errors = []
        for draw in range(DRAWS):
            truth, equations = short.equations(replace(gang, shared_generator=seeded(gang.device, "draw", draw)))
            errors.append((short.fitted(equations) - truth).square().sum((0, 1)) / short.length)  # windows are white
        least, middle, most = (torch.stack(errors).quantile(level, dim=0).tolist() for level in (0.0, 0.5, 1.0))
        kinds = "alike", "apart"
        names = ([f"error_{kind}{suffix}" for kind in kinds] for suffix in ("_least", "", "_most"))
        return dict(zip(chain(*names), (*least, *middle, *most), strict=True))

    def prepare(self, gang: Gang) -> Workload:
        """Each rank has its samples; their moments add up over the ranks to those of all samples."""
        _, equations = self.equations(gang)
        mine = gang.part(equations, dim=1).contiguous()
        tied = self.filters == "tied"

        def step() -> torch.Tensor:
            moments = mine.mT @ mine
            moments = gang.all_reduce(moments.sum(0, keepdim=True) if tied else moments)
            solved = torch.linalg.solve_ex(moments[:, :TAPS, :TAPS], moments[:, :TAPS, TAPS:])  # no read to the host
            return solved.result  # type: ignore[no-any-return]

        def check(filters: torch.Tensor) -> Facts:
            exact = self.fitted(equations)
            normwise_error(filters, exact, "filters", limit=TOLERANCE)
            return {"parameters": exact[..., 0].numel(), "draws": DRAWS, **self.errors(gang)}

        flops = 2 * mine.shape[0] * mine.shape[1] * mine.shape[2] ** 2
        return Workload(step, check=check, work=Work(flops=flops, items=gang.share(self.samples), unit="sample"))
