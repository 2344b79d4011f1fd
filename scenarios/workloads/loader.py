"""Batches for a device that trains: resident on it, decoded in the step, by workers, or into pinned memory."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch.utils.data import DataLoader

from harness.scenario import Facts, Gang, Scaling, Skip, Work, Workload, axis, variant
from scenarios.accuracy import normwise_error, tolerance
from scenarios.workloads.samples import Encoded, Turns, pixels


@dataclass(frozen=True, kw_only=True)
class Loader:
    """Batches of compressed samples for a product on the device: decoded by workers, in the step, or before."""

    scaling: ClassVar[Scaling] = "weak"

    samples: int = 64
    batch: int = axis(8, full=(32,))
    size: int = axis(2**14, full=(2**18,))
    width: int = axis(256, full=(4096,))
    workers: int = axis(1, full=(1, 2, 4))
    how: Literal["workers", "inline", "resident", "pinned"] = variant(baseline="workers")

    def prepare(self, gang: Gang) -> Workload:
        """Hand each rank its share of an epoch, so many samples for each."""
        if self.how == "pinned" and gang.device.type != "cuda":
            raise Skip("pinned memory is for copies to a GPU")
        total = self.samples * gang.size
        encoded = Encoded(total, self.size)
        turns = Turns(encoded, self.batch, gang.rank, gang.size)
        weight = torch.randn(self.size, self.width, device=gang.device, generator=gang.shared_generator)
        batches = self.batches(gang, encoded, turns)

        def step() -> tuple[torch.Tensor, torch.Tensor]:
            batch = next(batches).to(gang.device, non_blocking=True)
            return batch, (batch.float() / 255) @ weight

        def check(output: tuple[torch.Tensor, torch.Tensor]) -> Facts:
            batch, product = (each.cpu() for each in output)
            assert_epoch(gang, turns, total)
            indices = [int.from_bytes(bytes(row.tolist()), "little") for row in batch[:, :8]]
            assert indices in turns.batches, f"samples {indices[:4]}… are no batch of rank {gang.rank}"
            due = torch.stack([pixels(index, self.size) for index in indices])
            assert torch.equal(batch, due), "a sample's bytes are not what was encoded"
            exact = (due.double() / 255) @ weight.cpu().double()
            return {"error": normwise_error(product, exact, "the product", limit=tolerance(self.size))}

        flops = 2 * self.batch * self.size * self.width
        work = Work(flops=flops, bytes=self.batch * self.size, items=self.batch, unit="sample")
        return Workload(step, check=check, work=work, close=getattr(batches, "close", lambda: None))

    def batches(self, gang: Gang, encoded: Encoded, turns: Turns) -> Iterator[torch.Tensor]:
        """Batches without an end, each ``[batch, size]`` of bytes; closing it ends the workers."""
        if self.how == "resident":
            decoded = torch.stack([encoded[index] for index in range(len(encoded))]).to(gang.device)
            places = (torch.tensor(batch, device=gang.device) for batch in turns)
            yield from (decoded[place] for place in places)
            return
        options: dict[str, Any] = {}
        if self.how != "inline":
            options = {"num_workers": self.workers, "pin_memory": self.how == "pinned"}
        yield from DataLoader(encoded, batch_sampler=turns, **options)


def assert_epoch(gang: Gang, turns: Turns, total: int) -> None:
    """Raise AssertionError, on every rank, unless all ranks' batches together are every sample once."""
    mine = torch.tensor([index for batch in turns.batches for index in batch], device=gang.device)
    counts = torch.bincount(gang.all_gather(mine).flatten(), minlength=total)
    assert torch.equal(counts, torch.ones_like(counts)), (
        f"of {total} samples {int((counts == 0).sum())} are in no rank's epoch, {int((counts > 1).sum())} in several"
    )
