"""A mixture of experts: every rank holds all of them, sees all tokens, or sends each token where its expert is."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
import torch.distributed as dist
from torch.nn import functional

from harness.scenario import Facts, Gang, Scaling, Skip, Work, Workload, axis, variant
from scenarios.accuracy import normwise_error, tolerance
from scenarios.workloads.collectives import all_gather, reduce_scatter


@dataclass(frozen=True, kw_only=True)
class Experts:
    """The forward pass of a mixture of experts, one for each token, with a router that may favour a few of them."""

    scaling: ClassVar[Scaling] = "strong"

    tokens: int = axis(1024, full=(16384,))
    width: int = axis(128, full=(1024,))
    experts: int = 8
    skew: float = axis(0.0, 1.0)
    how: Literal["replicated", "gathered", "exact"] = variant(baseline="replicated")

    def prepare(self, gang: Gang) -> Workload:
        """Draw tokens, their experts and the experts' weights, which all ranks know; each rank has a part of all."""
        if self.experts % gang.size or self.tokens % gang.size:
            raise Skip(f"{gang.size} ranks do not divide {self.experts} experts and {self.tokens} tokens evenly")
        draw: dict[str, Any] = {"device": gang.device, "generator": gang.shared_generator}
        x = torch.randn(self.tokens, self.width, **draw)
        up = torch.randn(self.experts, self.width, 4 * self.width, **draw) / self.width**0.5
        down = torch.randn(self.experts, 4 * self.width, self.width, **draw) / self.width**0.5
        route = self.route(gang)
        mine, chosen = gang.part(x).clone(), gang.part(route).clone()
        here = gang.span(self.experts) if self.how != "replicated" else slice(0, self.experts)
        weights = up[here].clone(), down[here].clone()
        owners = gang.part(route) * gang.size // self.experts
        load = torch.bincount(route * gang.size // self.experts, minlength=gang.size)

        def step() -> torch.Tensor:
            if self.how == "replicated":
                return mixed(mine, chosen, *weights)
            if self.how == "gathered":
                return gathered(gang, mine, chosen, here, weights)
            return exchanged(gang, mine, chosen, here, weights)

        def check(output: torch.Tensor) -> Facts:
            exact = reference(gang.part(x), gang.part(route), up, down)
            lost = int((output.shape == exact.shape) and (output == 0).all(1).sum())
            assert not lost, f"{lost} of {len(exact)} tokens are lost"
            error = normwise_error(output, exact, "the tokens", limit=2 * tolerance(4 * self.width))
            return {"error": error, "greatest_load": float(load.max() * gang.size / self.tokens)}

        served = int(load[gang.rank])
        done = len(mine) if self.how == "replicated" else served
        leaving, staying = int((owners != gang.rank).sum()), int((owners == gang.rank).sum())
        away = leaving + served - staying
        most = 2 * (gang.size - 1) * len(mine)
        sent = {"replicated": 0, "gathered": most, "exact": away}[self.how]
        work = Work(flops=16 * done * self.width**2, items=len(mine), unit="token", wire=4 * self.width * sent)
        return Workload(step, check=check, work=work)

    def route(self, gang: Gang) -> torch.Tensor:
        """Each token's expert: all as often, or the first most often, as the words of a language are."""
        place = torch.randperm(self.tokens, device=gang.device, generator=gang.shared_generator)
        popularity = torch.arange(1, self.experts + 1, device=gang.device).double() ** -self.skew
        limits = (popularity / popularity.sum()).cumsum(0) * self.tokens
        return torch.searchsorted(limits[:-1].round(), place.double(), right=True)


Weights = tuple[torch.Tensor, torch.Tensor]


def mixed(x: torch.Tensor, chosen: torch.Tensor, up: torch.Tensor, down: torch.Tensor) -> torch.Tensor:
    """What the experts ``chosen``, of those whose weights these are, make of tokens; zeros for those of no such one."""
    out = torch.zeros_like(x)
    for number in range(len(up)):
        (rows,) = (chosen == number).nonzero(as_tuple=True)
        out[rows] = functional.gelu(x[rows] @ up[number]) @ down[number]
    return out


def gathered(gang: Gang, x: torch.Tensor, chosen: torch.Tensor, here: slice, weights: Weights) -> torch.Tensor:
    """All tokens to all ranks, and the sum of what each rank's experts make of them."""
    every, choices = (torch.cat([torch.empty_like(each)] * gang.size) for each in (x, chosen))
    all_gather(every, x, group=gang.group)
    all_gather(choices, chosen, group=gang.group)
    out = torch.empty_like(x)
    reduce_scatter(out, mixed(every, choices - here.start, *weights), group=gang.group)
    return out


def exchanged(gang: Gang, x: torch.Tensor, chosen: torch.Tensor, here: slice, weights: Weights) -> torch.Tensor:
    """Each token to the rank of its expert, and back."""
    order = chosen.argsort(stable=True)
    leaving = torch.bincount(chosen // len(weights[0]), minlength=gang.size)
    arriving = torch.empty_like(leaving)
    dist.all_to_all_single(arriving, leaving, group=gang.group)
    sent, due = leaving.tolist(), arriving.tolist()
    taken, choices = x.new_empty(sum(due), x.shape[1]), chosen.new_empty(sum(due))
    dist.all_to_all_single(taken, x[order], due, sent, group=gang.group)
    dist.all_to_all_single(choices, chosen[order], due, sent, group=gang.group)
    back = torch.empty_like(x)
    dist.all_to_all_single(back, mixed(taken, choices - here.start, *weights), sent, due, group=gang.group)
    out = torch.empty_like(x)
    out[order] = back
    return out


def reference(x: torch.Tensor, chosen: torch.Tensor, up: torch.Tensor, down: torch.Tensor) -> torch.Tensor:
    """What each token's expert makes of it, in float64."""
    return mixed(x.double(), chosen, up.double(), down.double())
