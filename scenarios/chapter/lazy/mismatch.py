"""D2L 5.3.2: what happens when dimensions do not match, and how soon one can know."""

import copy
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from harness.scenario import Facts, Gang, Scaling, Work, Workload, axis, variant
from scenarios.chapter.exercises import exercises
from scenarios.chapter.lazy import dryrun
from scenarios.chapter.lazy.dryrun import Mismatched
from scenarios.chapter.lazy.stack import stack


@dataclass(frozen=True, kw_only=True)
class Mismatch:
    """Finding the layer whose dimensions do not match: a forward pass, a dry run on meta, or the declared widths."""

    exercises: ClassVar = exercises("5.3.2")
    scaling: ClassVar[Scaling] = "weak"

    layers: int = 8
    width: int = axis(128, 1024, full=(512, 2048, 4096))
    outputs: int = 10
    batch: int = 32
    how: Literal["forward", "meta", "declared"] = variant(baseline="forward")

    def prepare(self, gang: Gang) -> Workload:
        """The last layer takes half of what it gets: a forward pass finds out last of all."""
        find = {"forward": dryrun.forward, "meta": dryrun.meta, "declared": dryrun.declared}[self.how]
        wide = [(self.width, self.width)] * (self.layers - 1)
        net = stack([*wide, (self.width // 2, self.outputs)], gang.device)  # raises nothing
        before = copy.deepcopy(net)
        x = torch.randn(self.batch, self.width, device=gang.device, generator=gang.generator)
        target = torch.randn(self.batch, self.outputs, device=gang.device, generator=gang.generator)

        def step() -> Mismatched | None:
            return find(net, x, target)

        def check(mismatched: Mismatched | None) -> Facts:
            wrong = str(2 * (self.layers - 1))  # its name: layers and ReLUs take turns
            assert mismatched, "found nothing"
            assert mismatched.layer == wrong, (
                f"layer {wrong} does not match, but {mismatched.layer} was found: {mismatched.reason}"
            )
            assert {self.width, self.width // 2} <= _numbers(mismatched.reason), (
                f"should name both widths: {mismatched.reason}"
            )
            assert _alike(net, before), "the search changed the network"
            sound = stack([*wide, (self.width, self.outputs)], gang.device)
            assert find(sound, x, target) is None, "found a mismatch where there is none"
            unset = stack([(None, self.width), (self.width // 2, self.outputs)], gang.device)
            assert find(unset, x, target) is not None
            initialised = sum(not is_lazy(weight) for weight in unset[0].parameters()) // 2
            assert initialised == (self.how == "forward"), "a dry run leaves lazy layers as they were"
            silent = [find(*case) is not None for case in _silent(gang.device)]
            assert silent == [True, True, self.how != "declared"], "a mismatch that raises nothing went unseen"
            return {"reason": mismatched.reason, "initialised": initialised, "silent": sum(silent)}

        return Workload(step, check=check, work=Work(items=self.layers, unit="layer"))


def _silent(device: torch.device) -> Iterator[tuple[nn.Sequential, Tensor, Tensor]]:
    """Mismatches that raise nothing: rows for columns, a loss that broadcasts, a load that widens a lazy layer."""
    x = torch.randn(8, 20, device=device)
    yield stack([(None, 256), (256, 10)], device), x.T, x[:, :10]
    yield stack([(20, 256), (256, 1)], device), x, x[:, 0]
    lazy = stack([(None, 4)], device)
    lazy.load_state_dict(stack([(20, 5)], device).state_dict())
    yield lazy, x, x[:, :4]


def _alike(one: nn.Sequential, other: nn.Sequential) -> bool:
    """The same layers with the same bits."""
    layers = [(type(a), a.extra_repr()) == (type(b), b.extra_repr()) for a, b in zip(one, other, strict=True)]
    bits = [torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True)]
    return all(layers + bits)


def _numbers(text: str) -> set[int]:
    return set(map(int, re.findall(r"\d+", text)))
