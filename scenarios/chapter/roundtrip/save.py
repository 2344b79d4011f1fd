"""D2L 5.5.1, 5.6.2: parameters from the device to disk."""

import shutil
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import ClassVar, Literal

import torch

from harness.scenario import Facts, Gang, Scaling, Workload, axis, variant
from scenarios.chapter.exercises import exercises
from scenarios.chapter.roundtrip import checkpoint, formats
from scenarios.chapter.roundtrip.proof import assert_same
from scenarios.chapter.roundtrip.state import State, carried, drawn, network, numbers, size

OVERHEAD = 1.05, 4096
"""Files are larger than what is in them by this factor at most, and so many bytes for each tensor of each rank."""


@dataclass(frozen=True, kw_only=True)
class Save:
    """Parameters from the device to disk: all by rank 0, or by each rank its rows; torch.save, safetensors or DCP."""

    exercises: ClassVar = exercises("5.5.1", "5.6.2")
    scaling: ClassVar[Scaling] = "strong"

    layers: int = 4
    width: int = axis(1024, full=(8192,))
    durable: bool = axis(False, full=(True,))
    how: Literal["rank0", "torch", "safetensors", "dcp"] = variant(baseline="rank0")

    def rows(self, state: State, gang: Gang) -> State:
        """What this rank saves. Its rows are copies: a view would take to disk all that it is a view of."""
        if self.how == "dcp":
            return checkpoint.sharded(state, gang)
        if self.how == "rank0":
            return state if gang.rank == 0 else {}
        return {name: gang.part(tensor).clone() for name, tensor in state.items()}

    def memory(self, ranks: int) -> int:  # noqa: ARG002
        """Every rank has all parameters."""
        return numbers(self.width, self.layers) * 4

    def prepare(self, gang: Gang) -> Workload:
        """All ranks hold all parameters, as data-parallel ones do. A step writes files that were not there before."""
        state = drawn(network(self.width, self.layers), gang, buffers=False)
        mine = self.rows(state, gang)
        folder, steps = gang.scratch, count()

        def step() -> str:
            name = f"{next(steps):09}"
            if self.how == "dcp":
                checkpoint.save(mine, folder / f"{name}-0000", gang, durable=self.durable)
            elif mine:
                save = formats.save_safetensors if self.how == "safetensors" else formats.save_torch
                save(mine, folder / f"{name}-{gang.rank:04}", durable=self.durable)
            return name

        def reset() -> None:
            for path in folder.glob(f"*-{gang.rank:04}"):
                shutil.rmtree(path) if path.is_dir() else path.unlink()

        def check(name: str) -> Facts:
            paths = sorted(folder.glob(f"{name}-*"))
            parts = [self.load(path, state) for path in paths]
            names = {name for part in parts for name in part}
            assert_same(
                {
                    tensor_name: torch.cat([part[tensor_name] for part in parts if tensor_name in part])
                    for tensor_name in names
                },
                state,
            )
            files = [file for path in paths for file in (path.iterdir() if path.is_dir() else [path])]
            stored = sum(file.stat().st_size for file in files)
            most = OVERHEAD[0] * size(state) + OVERHEAD[1] * len(state) * gang.size
            assert stored <= most, f"{stored} bytes for {size(state)} of parameters"
            return {"parameter_bytes": size(state), "stored_bytes": stored, "files": len(files)}

        work = carried(checkpoint.local(mine))
        return Workload(step, check=check, work=work, reset=reset, asymmetric=self.how == "dcp")  # rank 0: the index

    def load(self, path: Path, like: State) -> State:
        """What a file, or the folder of a checkpoint, holds of the parameters ``like``."""
        device = next(iter(like.values())).device
        if self.how == "safetensors":
            return formats.load_safetensors(path, device)
        if self.how != "dcp":
            return formats.load_torch(path, device)
        loaded = {name: torch.empty_like(tensor) for name, tensor in like.items()}
        checkpoint.load(loaded, path)
        return loaded
