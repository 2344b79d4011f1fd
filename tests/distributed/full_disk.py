"""A scenario that fills the disk, as each library would."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import ClassVar, Literal

import torch

from harness.scenario import Gang, Work, Workload, variant
from scenarios.chapter.roundtrip import checkpoint, exported, formats

SMALL, LARGE = 1000, 8_000_000


@dataclass(frozen=True, kw_only=True)
class Fills:
    """In a sample's step the last rank's file finds no room, while its peers wait for it in a collective."""

    scaling: ClassVar = "weak"
    disk: str = "tmpfs"
    how: Literal["small", "torch", "path", "safetensors", "dcp", "program"] = variant(baseline="small")

    def prepare(self, gang: Gang) -> Workload:
        state = {str(gang.rank): torch.rand(SMALL, generator=gang.generator)}
        path = gang.scratch / f"file-{gang.rank}"
        steps = count()

        def fill() -> None:
            if self.disk == "tmpfs":
                state[str(gang.rank)] = torch.rand(LARGE, generator=gang.generator)
                return
            for name in (path.name, f"{path.name}.part", f"dcp/__{gang.rank}_0.distcp"):
                (gang.folder / name).parent.mkdir(exist_ok=True)
                (gang.folder / name).unlink(missing_ok=True)
                (gang.folder / name).symlink_to("/dev/full")

        save: dict[str, Callable[[], object]] = {
            "torch": lambda: formats.save_torch(state, path),
            "path": lambda: torch.save(state, path),
            "safetensors": lambda: formats.save_safetensors(state, path),
            "dcp": lambda: checkpoint.save(state, gang.folder / "dcp", gang),
            "program": lambda: exported.save(Keeps(*state.values()), (torch.zeros(1),), path),
        }

        def step() -> Path:
            if self.how != "small" and gang.rank == gang.size - 1 and next(steps) == 3:
                fill()
            save.get(self.how, save["torch"])()
            gang.all_reduce(torch.ones(1))
            return path

        def check(path: Path) -> None:
            assert path.exists()

        return Workload(step, check=check, work=Work())


class Keeps(torch.nn.Module):
    def __init__(self, numbers: torch.Tensor) -> None:
        super().__init__()
        self.numbers = torch.nn.Parameter(numbers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.numbers.sum()


@dataclass(frozen=True, kw_only=True)
class Hogs:
    """Leaves a file that takes all of a small disk, beside what is its own to use."""

    scaling: ClassVar = "none"

    def prepare(self, gang: Gang) -> Workload:
        disk = next(folder for folder in gang.scratch.parents if folder.is_mount())
        if disk.parent != disk and gang.rank == 0:
            while b'"type":"begin","launch":0,"comparison":1' not in (disk / "run" / "journal.jsonl").read_bytes():
                time.sleep(0.01)  # what was measured before is in the journal
            with suppress(OSError), (disk / "hog").open("ab", buffering=0) as file:
                while file.write(bytes(1 << 20)):
                    pass
        return Workload(lambda: None, check=lambda _: None, work=Work())
