"""The initialisers, for some rows of a matrix: the fans are those of the whole, never of the rows."""

import math
from typing import NamedTuple, Self

import torch
from torch import nn

from harness.scenario import Gang


class Fans(NamedTuple):
    """How many inputs each output of a layer has, and how many outputs each input."""

    inputs: int
    outputs: int

    @classmethod
    def of(cls, *shape: int) -> Self:
        """Those of a weight of shape ``[outputs, inputs, *kernel]``; a convolution's count every place of its kernel.

        Raises ValueError for fewer than two dimensions.
        """
        if len(shape) < 2:
            raise ValueError(f"fans are those of a weight with two dimensions at least, not of shape {list(shape)}")
        outputs, inputs, *kernel = shape
        return cls(inputs * math.prod(kernel), outputs * math.prod(kernel))


def fill(rows: torch.Tensor, name: str, fans: Fans, gang: Gang) -> torch.Tensor:
    """Draw this rank's rows of a matrix; all but the orthogonal in place."""
    generator = gang.generator
    match name:
        case "constant":
            nn.init.constant_(rows, 1)
        case "normal":
            nn.init.normal_(rows, std=0.01, generator=generator)
        case "trunc_normal":
            nn.init.trunc_normal_(rows, std=0.02, a=-0.04, b=0.04, generator=generator)  # a, b: not in units of std
        case "xavier_uniform":
            bound = math.sqrt(6 / sum(fans))
            nn.init.uniform_(rows, -bound, bound, generator=generator)
        case "xavier_normal":
            nn.init.normal_(rows, std=math.sqrt(2 / sum(fans)), generator=generator)
        case "kaiming_uniform":
            bound = nn.init.calculate_gain("relu") * math.sqrt(3 / fans.inputs)
            nn.init.uniform_(rows, -bound, bound, generator=generator)
        case "orthogonal":
            return orthonormal(nn.init.normal_(rows, generator=generator), gang)
    return rows


def orthonormal(rows: torch.Tensor, gang: Gang) -> torch.Tensor:
    """Make the columns of a tall matrix orthonormal by CholeskyQR: Q = A R⁻¹, where RᵀR = AᵀA.

    Once leaves an error that grows with the square of A's condition, twice leaves rounding. R's diagonal is positive:
    every Q is as likely as any other where A was normal.
    """
    for _ in range(2):
        gram = gang.all_reduce(rows.mT @ rows)
        factor = torch.linalg.cholesky_ex(gram, upper=True).L
        rows = torch.linalg.solve_triangular(factor, rows, upper=True, left=False)
    return rows
