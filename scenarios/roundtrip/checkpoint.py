"""Checkpoints by torch.distributed.checkpoint: folders to which every rank adds its rows, read by any number of ranks.

The index of a checkpoint is a pickle, and PyTorch lets it do anything. Here it is read by an unpickler that looks up
the classes of an index and nothing else, and that knows no entry but tensors: others would be unpickled in turn,
without limits.
"""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch.distributed.checkpoint import state_dict_loader, state_dict_saver
from torch.distributed.checkpoint.filesystem import FileSystemReader, FileSystemWriter
from torch.distributed.checkpoint.metadata import Metadata
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Shard, distribute_tensor

from harness.scenario import Gang
from scenarios.roundtrip.state import State


def sharded(state: State, gang: Gang) -> State:
    """Every rank's rows of ``state`` as DTensors, which a checkpoint can tell apart; alone, ``state`` itself.

    The mesh has no process group of its own: one that outlives a failed group would keep its peers waiting.
    """
    if gang.group is None:
        return state
    mesh = DeviceMesh(gang.device.type, list(range(gang.size)), _init_backend=False)
    return {name: distribute_tensor(each, mesh, [Shard(0)], src_data_rank=None) for name, each in state.items()}


def local(state: State) -> State:
    """The tensors behind DTensors: this rank's rows."""
    return {name: each.to_local() if isinstance(each, DTensor) else each for name, each in state.items()}


def save(state: State, path: Path, gang: Gang | None = None, *, durable: bool = False) -> None:
    """Write a state, or the rows of one that each rank of ``gang`` has; without a gang, this rank does it alone."""
    writer = FileSystemWriter(path, sync_files=durable)
    with _alone(gang) as group:
        state_dict_saver.save(state, storage_writer=writer, **group)


def load(state: State, path: Path, gang: Gang | None = None) -> None:
    """Read from a checkpoint what ``state`` has room for, into its tensors: by ranks as many as there are."""
    with _alone(gang) as group:
        state_dict_loader.load(state, storage_reader=_Reader(path), **group)


@contextmanager
def _alone(gang: Gang | None) -> Iterator[dict[str, Any]]:
    group = gang.group if gang else None
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.distributed is disabled")  # as it is meant
        yield {"no_dist": True} if group is None else {"process_group": group}


class _Reader(FileSystemReader):
    """Reads checkpoints of tensors."""

    def read_metadata(self) -> Metadata:
        """The index. Raises pickle.UnpicklingError for one that names anything else than the parts of an index."""
        with (Path(self.path) / ".metadata").open("rb") as file:
            metadata = _Index(file).load()
        if not isinstance(metadata, Metadata):
            raise pickle.UnpicklingError(f"no index of a checkpoint, but {type(metadata).__name__}")
        return metadata


class _Index(pickle.Unpickler):
    """Unpickles an index of tensors: no other class, no function, no module is looked up."""

    _METADATA = "torch.distributed.checkpoint.metadata"
    _NAMES = frozenset(
        {
            ("pathlib", "PosixPath"), ("torch", "Size"), ("torch.serialization", "_get_layout"),
            ("torch.distributed.checkpoint.filesystem", "_StorageInfo"), (_METADATA, "Metadata"),
            (_METADATA, "MetadataIndex"), (_METADATA, "StorageMeta"), (_METADATA, "TensorStorageMetadata"),
            (_METADATA, "ChunkStorageMetadata"), (_METADATA, "TensorProperties"), (_METADATA, "_MEM_FORMAT_ENCODING"),
        }
    )  # fmt: skip

    def find_class(self, module: str, name: str) -> Any:
        """A part of an index, or a dtype."""
        dtype = module == "torch" and isinstance(getattr(torch, name, None), torch.dtype)
        if not dtype and (module, name) not in self._NAMES:
            raise pickle.UnpicklingError(f"an index of tensors has no {module}.{name}")
        return super().find_class(module, name)
