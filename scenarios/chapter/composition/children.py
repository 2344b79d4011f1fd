"""D2L 5.1.1: a sequential block whose children are registered, or merely kept in a list."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import nn

from harness.scenario import Facts, Gang, Scaling, Work, Workload, axis, variant
from scenarios.accuracy import normwise_error
from scenarios.chapter.composition.registration import Family, InList, InListWithHead, InModuleList, statistics_restored
from scenarios.chapter.exercises import exercises
from scenarios.chapter.linear_chain import chained
from scenarios.replicas import assert_alike

TOLERANCE = 1e-5
"""Normwise relative error that a deep chain in fp32 may have against float64."""


@dataclass(frozen=True, kw_only=True)
class Children:
    """A sequential block that keeps its children as nn.Sequential does, in an nn.ModuleList, or in a plain list."""

    exercises: ClassVar = exercises("5.1.1")
    scaling: ClassVar[Scaling] = "weak"

    depth: int = axis(128, full=(1024,))
    width: int = 16
    batch: int = 8
    container: Literal["sequential", "module_list", "list"] = variant(baseline="sequential")

    def block(self, *children: nn.Module) -> nn.Module:
        """The sequential block, of any children."""
        kinds: dict[str, type[nn.Module]] = {"sequential": nn.Sequential, "module_list": InModuleList, "list": InList}
        return kinds[self.container](*children)

    def family(self, generator: torch.Generator) -> Family:
        """A block of linear layers that neither amplify nor damp, so that the first one matters as does the last."""
        layers = [nn.Linear(self.width, self.width, device=generator.device) for _ in range(self.depth)]
        for layer in layers:
            nn.init.orthogonal_(layer.weight, generator=generator)
            nn.init.normal_(layer.bias, std=0.1, generator=generator)
        return Family(self.block(*layers), tuple(layers))

    def prepare(self, gang: Gang) -> Workload:
        """Only the forward pass is timed, where all containers do the same; the facts tell them apart."""
        family = self.family(gang.shared_generator)
        x = torch.randn(self.batch, self.width, device=gang.device, generator=gang.generator)

        @torch.no_grad()
        def step() -> torch.Tensor:
            output: torch.Tensor = family.block(x)
            return output

        def check(output: torch.Tensor) -> Facts:
            assert_alike(gang, family.tensors, "weights")
            changed, divergence = self.family(gang.generator).train(gang, x)  # ranks start apart
            mixed = self.with_head(gang, x) if self.container == "list" else {}
            twin = self.family(gang.generator)
            facts = {
                "tensors_trained": changed,
                "samples_restored": family.restores(twin, x),
                "statistics_restored": statistics_restored(self.block, x),
                **twin.reach(),
            }
            normwise_error(output, chained(family.tensors, x), "the output", limit=TOLERANCE)
            registered = self.container != "list"
            wanted = self.whole() if registered else dict.fromkeys(facts, 0)
            assert facts == wanted, f"found {facts}, where {wanted} is due"
            assert (divergence == 0) == (registered or gang.size == 1), f"ranks are {divergence:g} apart"
            return {**facts, **mixed, "divergence": divergence, "ranks": _spread(divergence, gang)}

        work = Work(flops=2 * self.batch * self.width**2 * self.depth, items=self.depth, unit="layer")
        return Workload(step, check=check, work=work)

    def with_head(self, gang: Gang, x: torch.Tensor) -> Facts:
        """What a data-parallel step does to a list of children the last of which is registered beside it."""
        layers = self.family(gang.generator).children
        changed, divergence = Family(InListWithHead(*layers), layers).train(gang, x)
        return {"mixed_trained": changed, "mixed_ranks": _spread(divergence, gang)}

    def whole(self) -> dict[str, int]:
        """What is reached of registered children: everything."""
        tensors = 2 * self.depth
        return {
            "tensors_trained": tensors,
            "samples_restored": self.batch,
            "statistics_restored": 3,
            "parameters": self.depth * (self.width**2 + self.width),
            "state_dict_keys": tensors,
            "children_in_eval": self.depth,
            "tensors_in_double": tensors,
        }


def _spread(divergence: float, gang: Gang) -> str:
    """In a word, whether ranks that differ by so much at most are still equal."""
    return "one alone" if gang.size == 1 else "equal" if divergence == 0 else "apart"
