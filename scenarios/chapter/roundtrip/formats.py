"""Files of parameters: torch.save's and safetensors'. No file can make its reader run code.

torch.save     an archive of a pickle and the bytes; read with ``weights_only=True``
safetensors    a header in JSON and the bytes: nothing to execute
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from scenarios.chapter.roundtrip.state import State


@contextmanager
def whole(path: Path, *, durable: bool = False) -> Iterator[Path]:
    """A file to write that becomes ``path`` once it is whole, and with ``durable`` once the disk has it.

    A crash in the middle leaves what ``path`` was before.
    """
    draft = path.with_name(f"{path.name}.part")
    try:
        yield draft
        if durable:
            with draft.open("rb") as file:
                os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def save_torch(state: State, path: Path, *, durable: bool = False) -> None:
    """Write a state with torch.save.

    Into an open file: given a path, torch's own writer does not say that a disk is full, and may abort the process.
    """
    with whole(path, durable=durable) as draft, draft.open("wb") as file:
        torch.save(state, file)


def load_torch(path: Path, device: torch.device, *, mmap: bool = False) -> State:
    """The state in a file of torch.save, on ``device`` wherever it was saved; with ``mmap`` unread where it can be."""
    state: State = torch.load(path, map_location=device, weights_only=True, mmap=mmap)
    return state


def save_safetensors(state: State, path: Path, *, durable: bool = False) -> None:
    """Write a state as safetensors."""
    with whole(path, durable=durable) as draft:
        save_file(state, draft)


def load_safetensors(path: Path, device: torch.device) -> State:
    """The state in a file of safetensors, on ``device``; on a CPU mapped and unread."""
    return load_file(path, device=str(device))
