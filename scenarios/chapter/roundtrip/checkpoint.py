"""Checkpoints by torch.distributed.checkpoint: folders to which every rank adds its rows, for any number of ranks."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch.distributed.checkpoint import state_dict_loader, state_dict_saver
from torch.distributed.checkpoint.filesystem import FileSystemWriter
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Shard, distribute_tensor

from harness.scenario import Gang
from scenarios.chapter.roundtrip.index import Reader
from scenarios.chapter.roundtrip.state import State


def sharded(state: State, gang: Gang) -> State:
    """Every rank's rows of ``state`` as DTensors, which a checkpoint can tell apart; alone, ``state`` itself.

    The mesh has no process group of its own: one that outlives a failed group would keep its peers waiting.
    """
    if gang.size == 1:
        return state
    mesh = DeviceMesh(gang.device.type, list(range(gang.size)), _init_backend=False)
    return {name: distribute_tensor(tensor, mesh, [Shard(0)], src_data_rank=None) for name, tensor in state.items()}


def local(state: State) -> State:
    """The tensors behind DTensors: this rank's rows."""
    return {name: tensor.to_local() if isinstance(tensor, DTensor) else tensor for name, tensor in state.items()}


def save(state: State, path: Path, gang: Gang | None = None, *, durable: bool = False) -> None:
    """Write a state, or the rows of one that each rank of ``gang`` has; without a gang, this rank does it alone."""
    writer = FileSystemWriter(path, sync_files=durable)
    with _alone(gang) as group:
        state_dict_saver.save(state, storage_writer=writer, **group)


def load(state: State, path: Path, gang: Gang | None = None) -> None:
    """Read from a checkpoint what ``state`` has room for, into its tensors: by ranks as many as there are."""
    with _alone(gang) as group:
        state_dict_loader.load(state, storage_reader=Reader(path), **group)


@contextmanager
def _alone(gang: Gang | None) -> Iterator[dict[str, Any]]:
    group = gang.group if gang and gang.size > 1 else None
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.distributed is disabled")  # as it is meant
        yield {"no_dist": True} if group is None else {"process_group": group}
