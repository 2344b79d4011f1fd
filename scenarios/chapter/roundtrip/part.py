"""D2L 5.5.2: the first layers of a saved network, in a network of another architecture."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from safetensors import safe_open
from torch import nn

from harness.scenario import Facts, Gang, Scaling, Workload, axis, variant
from scenarios.chapter.exercises import exercises
from scenarios.chapter.roundtrip import checkpoint, formats
from scenarios.chapter.roundtrip.limits import misnamed, one_further, shifted
from scenarios.chapter.roundtrip.proof import assert_foreign, assert_read, assert_same, read
from scenarios.chapter.roundtrip.reading import Reading
from scenarios.chapter.roundtrip.state import State, carried, drawn, layer, network, numbers, size

MOST_READ = 1.2
"""How much of a file, over its part, a reader of the part may read."""
PAGES = 4 << 20
"""Bytes that may come beside them: a system maps whole pages, and some around them."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """The first two layers of a saved network, into one of another architecture: from the whole file, or just them."""

    exercises: ClassVar = exercises("5.5.2")
    scaling: ClassVar[Scaling] = "weak"

    layers: int = 4
    width: int = axis(1024, full=(8192,))
    reused: int = 2
    reader: Literal["full", "mmap", "safetensors", "dcp"] = variant(baseline="full")

    def architecture(self) -> nn.Sequential:
        """The new network: the layers that are reused, and a head of its own."""
        with torch.device("meta"):
            head = nn.Sequential(nn.Linear(self.width, 7), nn.Tanh(), nn.Linear(7, 3))
            return nn.Sequential(*(layer(self.width) for _ in range(self.reused)), head)

    def memory(self, ranks: int) -> int:  # noqa: ARG002
        """The whole donor."""
        return numbers(self.width, self.layers) * 4

    def prepare(self, gang: Gang) -> Workload:
        """Rank 0 saves the donor. Every rank has a new network, into which each step copies the layers."""
        donor = drawn(network(self.width, self.layers), gang)
        path = gang.scratch / "donor"
        if gang.rank == 0:
            save = {"safetensors": formats.save_safetensors, "dcp": checkpoint.save}.get(
                self.reader, formats.save_torch
            )
            save(donor, path)
        gang.barrier()
        net = self.architecture().to_empty(device=gang.device)
        net.load_state_dict(drawn(net, gang))
        fresh = {name: tensor.clone() for name, tensor in net.state_dict().items()}
        due = {name: donor[name] for name in network(self.width, self.reused).state_dict()}
        after = fresh | due

        def step() -> tuple[Any, torch.Tensor]:
            keys = net.load_state_dict(self.read(path, due), strict=False)  # the head is not in the file
            return keys, read(net.state_dict().values())

        def reset() -> None:
            net.load_state_dict(fresh)

        def check(restored: tuple[Any, torch.Tensor]) -> Facts:
            keys, sums = restored
            assert_foreign(fresh, donor, due)
            assert (set(keys.missing_keys), keys.unexpected_keys) == (fresh.keys() - due.keys(), []), keys
            assert_same(net.state_dict(), after)
            assert_read(sums, after)
            return {
                "tensors": len(due), "part_bytes": size(due), "file_bytes": size(donor), **self.reading(path, due),
                "misnamed": misnamed(net, fresh, due),
                "shifted": shifted(due), "renamed": shifted(due, one_further),
            }  # fmt: skip

        return Workload(step, check=check, work=carried(due), reset=reset)

    def reading(self, path: Path, like: State) -> Facts:
        """How many bytes come from the file. Raises AssertionError where they are too many for a reader of a part."""
        with Reading(path) as reading:
            tensors = self.read(path, like)
            read(tensors.values())
        if reading.bytes is None:
            return {}
        most = int(MOST_READ * size(like)) + PAGES
        assert self.reader == "full" or reading.bytes <= most, f"{reading.bytes} bytes were read for {size(like)}"
        return {"read_bytes": reading.bytes}

    def read(self, path: Path, like: State) -> State:
        """What the file holds under the names in ``like``."""
        device = next(iter(like.values())).device
        if self.reader == "safetensors":
            with safe_open(path, "pt", device=str(device)) as file:
                return {name: file.get_tensor(name) for name in like}
        if self.reader == "dcp":
            room = {name: torch.empty_like(tensor) for name, tensor in like.items()}
            checkpoint.load(room, path)
            return room
        mapped = self.reader == "mmap"
        state = formats.load_torch(path, torch.device("cpu") if mapped else device, mmap=mapped)
        return {name: state[name] for name in like}
