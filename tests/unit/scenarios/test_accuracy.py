"""How far off: a matter of the norm, of the shape, and never of something that is not a number."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from scenarios.accuracy import TOLERANCE, normwise_error, tolerance


@given(st.lists(st.integers(1, 4), max_size=3), st.floats(0, 1e-3), st.integers(0, 9))
def test_the_error_is_relative_to_the_norm(shape: list[int], off: float, seed: int) -> None:
    exact = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    if off <= TOLERANCE * (1 - 1e-6):
        assert normwise_error(exact * (1 + off), exact) == pytest.approx(off, rel=1e-6, abs=1e-15)
    elif off > TOLERANCE * (1 + 1e-6):
        with pytest.raises(AssertionError, match="it: a normwise error"):
            normwise_error(exact * (1 + off), exact)
    assert normwise_error(exact * (1 + off), exact, limit=1e-2) == pytest.approx(off, rel=1e-6, abs=1e-15)


@pytest.mark.parametrize("wrong", [torch.nan, torch.inf, -torch.inf])
def test_what_is_no_number_is_wrong(wrong: float) -> None:
    exact = torch.ones(3, dtype=torch.float64)
    with pytest.raises(AssertionError, match="the sum: a normwise error"):
        normwise_error(torch.tensor([1.0, wrong, 1.0]), exact, "the sum")


def test_the_shape_counts_even_where_it_would_broadcast() -> None:
    exact = torch.ones(3, 1, dtype=torch.float64)
    for found in (torch.ones(3), torch.ones(1), torch.ones(3, 3), torch.ones(())):
        with pytest.raises(AssertionError, match=r"it has shape .*, where \(3, 1\) is due"):
            normwise_error(found, exact)


def test_nothing_and_zero_are_exact_only_where_they_are_due() -> None:
    zero = torch.zeros(3, dtype=torch.float64)
    assert normwise_error(torch.zeros(3), zero) == normwise_error(zero[:0], zero[:0]) == 0
    with pytest.raises(AssertionError, match="normwise"):
        normwise_error(torch.full((3,), 1e-30), zero)


def test_of_what_cancels_only_so_much_is_asked_as_of_what_it_is_a_part_of() -> None:
    left = torch.full((3,), 1e-4, dtype=torch.float64)
    found = left + 1e-7
    with pytest.raises(AssertionError, match="normwise"):
        normwise_error(found, left, least=1e-2)
    assert normwise_error(found, left, least=1.0) == pytest.approx(1e-3)
    with pytest.raises(AssertionError, match="normwise"):
        normwise_error(torch.zeros(3), left, least=1.0)  # it is not there at all


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_a_precision_is_told_from_a_whole_one(dtype: torch.dtype) -> None:
    a, b = torch.randn(2, 64, 64)
    exact = a.double() @ b.double()
    assert normwise_error(a @ b, exact) < TOLERANCE / 5
    for found in ((a @ b).to(dtype).float(), a.to(dtype).float() @ b):
        with pytest.raises(AssertionError, match="normwise"):
            normwise_error(found, exact)


@pytest.mark.parametrize("terms", [1024, 16_384, 262_144])
def test_one_chain_of_sums_is_within_the_limit_for_so_many_terms_and_tf32_is_not(terms: int) -> None:
    """As a GPU's kernel may add them up; a CPU's adds up in blocks, and is ten times as exact."""
    a, b = np.random.default_rng(terms).standard_normal((2, 64, terms)).astype(np.float32)
    exact = torch.from_numpy((a.astype(np.float64) * b).sum(1))
    chain = torch.from_numpy(np.add.accumulate(a * b, axis=1, dtype=np.float32)[:, -1])
    assert normwise_error(chain, exact, limit=tolerance(terms)) > tolerance(terms) / 20
    with pytest.raises(AssertionError, match="normwise"):
        normwise_error(exact * (1 + 3e-4), exact, limit=tolerance(terms))


def test_the_limit_grows_with_the_root_of_the_number_of_terms() -> None:
    assert tolerance(1) == tolerance(15_000) == TOLERANCE
    assert tolerance(4 * 262_144) == pytest.approx(2 * tolerance(262_144))
