"""D2L 5.6.2: a saved network onto the device of every rank."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import torch
from torch import nn

from harness.scenario import Facts, Gang, Scaling, Workload, axis, variant
from scenarios.chapter.exercises import exercises
from scenarios.chapter.roundtrip import formats
from scenarios.chapter.roundtrip.proof import assert_read, assert_same, read
from scenarios.chapter.roundtrip.state import State, carried, drawn, network, numbers
from scenarios.chapter.roundtrip.training_state import returned

Loaded = tuple[nn.Module, torch.Tensor]


@dataclass(frozen=True, kw_only=True)
class Load:
    """A saved network onto every rank's device: into memory that is there, or new; mapped, pinned, or by broadcast."""

    exercises: ClassVar = exercises("5.6.2")
    scaling: ClassVar[Scaling] = "weak"

    layers: int = 4
    width: int = axis(1024, full=(8192,))
    by: Literal["copy", "assign", "mmap", "safetensors", "pinned", "broadcast"] = variant(baseline="copy")

    def memory(self, ranks: int) -> int:  # noqa: ARG002
        """A network in memory, and what its file holds."""
        return 2 * numbers(self.width, self.layers) * 4

    def prepare(self, gang: Gang) -> Workload:
        """Rank 0 writes the file; each step ends with all of it on the device, parameters and buffers, and read."""
        state = drawn(network(self.width, self.layers), gang)
        path = gang.scratch / "state"
        if gang.rank == 0:
            save = formats.save_safetensors if self.by == "safetensors" else formats.save_torch
            save(state, path)
        gang.barrier()
        live = network(self.width, self.layers).to_empty(device=gang.device)
        known = set(live.parameters())  # to an optimizer, say

        def step() -> Loaded:
            net = self.load(path, live, gang)
            return net, read(net.state_dict().values())

        def reset() -> None:
            for tensor in live.state_dict().values():
                tensor.zero_()

        def check(loaded: Loaded) -> Facts:
            net, sums = loaded
            assert_same(net.state_dict(), state)
            assert_read(sums, state)
            mine = list(net.parameters())
            pinned = self.by == "pinned" and gang.device.type != "cpu"
            copied = self.by in ("copy", "broadcast")
            more = returned(gang.scratch / f"{gang.rank}-training", gang.device, assign=not copied)
            assert more["moments"] == more["moments_saved"], f"of Adam's moments {more['moments']} came back"
            assert more["tie"] == ("kept" if copied else "lost"), f"the tie of two layers is {more['tie']}"
            return {"parameters": len(mine), "kept": len(known.intersection(mine)), "pinned": pinned, **more}

        return Workload(step, check=check, work=carried(state), reset=reset, asymmetric=self.by == "broadcast")

    def load(self, path: Path, live: nn.Module, gang: Gang) -> nn.Module:
        """The network with what the file holds: ``live``, or a new one that takes the tensors as they come."""
        if self.by == "copy" or (self.by == "broadcast" and gang.rank == 0):
            live.load_state_dict(formats.load_torch(path, gang.device))
        if self.by == "broadcast":
            for tensor in live.state_dict().values():
                gang.broadcast(tensor)
        if self.by in ("copy", "broadcast"):
            return live
        net = network(self.width, self.layers)
        net.load_state_dict(self.arriving(path, gang.device), assign=True)
        return net

    def arriving(self, path: Path, device: torch.device) -> State:
        """What the file holds, on the device; ``pinned`` by way of memory that the device copies from by itself."""
        if self.by == "safetensors":
            return formats.load_safetensors(path, device)
        if self.by != "pinned" or device.type == "cpu":
            return formats.load_torch(path, device, mmap=self.by != "assign")
        mapped = formats.load_torch(path, torch.device("cpu"), mmap=True)
        return {name: tensor.pin_memory().to(device, non_blocking=True) for name, tensor in mapped.items()}
