"""Samples that have to be decoded, and the order in which ranks take them."""

import zlib
from collections.abc import Iterator

import torch
from torch.utils.data import Dataset, DistributedSampler, Sampler

_STRIDE = 131
"""Samples begin at places of the pattern that are so far apart; modulo 251 no two of a few hundred are alike."""
_PERIOD = 251


def pixels(index: int, size: int) -> torch.Tensor:
    """What sample ``index`` consists of, shape ``[size]``, uint8: known in closed form.

    The first eight bytes are the index itself.
    """
    data = ((torch.arange(size) * (1 + index % 7) + index * _STRIDE) % _PERIOD).to(torch.uint8)
    data[:8] = torch.tensor(list(index.to_bytes(8, "little")), dtype=torch.uint8)
    return data


class Encoded(Dataset[torch.Tensor]):
    """``samples`` compressed samples in memory, each ``size`` bytes once it is decoded."""

    def __init__(self, samples: int, size: int) -> None:
        self.size = size
        self.encoded = [zlib.compress(pixels(index, size).numpy().tobytes(), 1) for index in range(samples)]

    def __len__(self) -> int:
        return len(self.encoded)

    def __getitem__(self, index: int) -> torch.Tensor:
        return torch.frombuffer(bytearray(zlib.decompress(self.encoded[index])), dtype=torch.uint8)


class Turns(Sampler[list[int]]):
    """Batches of a rank's samples of an epoch, over and over: a step never waits for an epoch to begin."""

    def __init__(self, dataset: Encoded, batch: int, rank: int, size: int) -> None:
        sampler: DistributedSampler[int] = DistributedSampler(
            dataset, num_replicas=size, rank=rank, shuffle=True, drop_last=True
        )
        mine = list(sampler)
        self.batches = [mine[first : first + batch] for first in range(0, len(mine), batch)]

    def __iter__(self) -> Iterator[list[int]]:
        while True:
            yield from self.batches
