"""D2L 5.5.1, 5.6.2: a checkpoint back onto the devices, each of which wants its rows."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from safetensors import safe_open

from harness.scenario import Facts, Gang, Scaling, Workload, axis, variant
from scenarios.chapter.exercises import exercises
from scenarios.chapter.roundtrip import checkpoint, formats
from scenarios.chapter.roundtrip.proof import assert_read, assert_same, read
from scenarios.chapter.roundtrip.state import State, carried, drawn, network, numbers, size


@dataclass(frozen=True, kw_only=True)
class Restore:
    """Parameters that one rank saved, back to any number of ranks, each its rows: by the whole file, slices, or DCP."""

    exercises: ClassVar = exercises("5.5.1", "5.6.2")
    scaling: ClassVar[Scaling] = "strong"

    layers: int = 4
    width: int = axis(1024, full=(8192,))
    how: Literal["whole", "slices", "dcp"] = variant(baseline="whole")

    def memory(self, ranks: int) -> int:
        """Every rank has all parameters to compare with, and room for its rows."""
        return numbers(self.width, self.layers) * 4 * (ranks + 1) // ranks

    def prepare(self, gang: Gang) -> Workload:
        """Rank 0 writes one file, or a checkpoint; then all ranks read it, each step all of its rows."""
        state = drawn(network(self.width, self.layers), gang, buffers=False)
        path = gang.scratch / "parameters"
        if gang.rank == 0:
            save = {"whole": formats.save_torch, "slices": formats.save_safetensors, "dcp": checkpoint.save}[self.how]
            save(state, path)
        gang.barrier()
        room = checkpoint.sharded({name: torch.zeros_like(tensor) for name, tensor in state.items()}, gang)

        def whole() -> State:
            loaded = formats.load_torch(path, torch.device("cpu"))
            return {name: gang.part(tensor).to(gang.device, copy=True) for name, tensor in loaded.items()}

        def slices() -> State:
            with safe_open(path, "pt", device=str(gang.device)) as file:
                return {name: file.get_slice(name)[gang.span(len(tensor))] for name, tensor in state.items()}

        def dcp() -> State:
            checkpoint.load(room, path, gang)
            return checkpoint.local(room)

        restore = {"whole": whole, "slices": slices, "dcp": dcp}[self.how]

        def step() -> tuple[State, torch.Tensor]:
            loaded = restore()
            return loaded, read(loaded.values())

        def reset() -> None:
            for tensor in checkpoint.local(room).values():
                tensor.zero_()

        due = self.rows(state, gang)

        def check(restored: tuple[State, torch.Tensor]) -> Facts:
            loaded, sums = restored
            assert_same(loaded, due)
            assert_read(sums, due)
            return {"parameter_bytes": size(state)}

        asymmetric = self.how == "dcp"  # rank 0 makes everyone's plan
        return Workload(step, check=check, work=carried(due), reset=reset, asymmetric=asymmetric)

    def rows(self, state: State, gang: Gang) -> State:
        """This rank's rows; where the ranks do not divide them, DTensors are cut in another way."""
        if self.how == "dcp":
            return checkpoint.local(checkpoint.sharded(state, gang))
        return {name: gang.part(tensor) for name, tensor in state.items()}
