"""The index of a checkpoint, read safely.

It is a pickle, and PyTorch lets it do anything. Here it is read by an unpickler that looks up the classes of an index
and nothing else, and that knows no entry but tensors: others would be unpickled in turn, without limits. The tensors
themselves PyTorch reads with ``weights_only=True``.
"""

import pickle
from pathlib import Path
from typing import Any

import torch
from torch.distributed.checkpoint.filesystem import FileSystemReader
from torch.distributed.checkpoint.metadata import Metadata


class Reader(FileSystemReader):
    """Reads checkpoints of tensors, and of nothing else."""

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
