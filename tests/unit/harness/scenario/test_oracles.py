"""Freivalds' check of products: it owes nothing to the product, and misses hardly any mistake."""

import pytest
import torch

from harness.scenario import freivalds

M, K, N = 40, 30, 20


def operands() -> tuple[torch.Tensor, torch.Tensor, torch.Generator]:
    generator = torch.Generator().manual_seed(3)
    return torch.randn(M, K, generator=generator), torch.randn(K, N, generator=generator), generator


def test_a_product_is_right_to_its_rounding() -> None:
    a, b, generator = operands()
    assert freivalds(a, b, a @ b, generator=generator) < 1e-5
    assert 1e-5 < freivalds(a, b, (a.bfloat16() @ b.bfloat16()).float(), generator=generator) < 0.1


@pytest.mark.parametrize("mistake", ["entry", "row", "transposed operand", "scale", "zeros"])
def test_mistakes_are_seen(mistake: str) -> None:
    a, b, generator = operands()
    product = a @ b
    if mistake == "entry":
        product[3, 4] += 10
    elif mistake == "row":
        product[3] = 0
    elif mistake == "transposed operand":
        product = a @ b.flip(0)
    else:
        product *= 0 if mistake == "zeros" else 1.01
    assert freivalds(a, b, product, generator=generator) > 5e-3


def test_a_mistake_that_one_vector_misses_is_seen_by_others() -> None:
    a, b, generator = operands()
    product = a @ b
    product[0, :2] += torch.tensor([50.0, -50.0])  # invisible to signs that are alike in both places
    errors = [freivalds(a, b, product, generator=generator) for _ in range(40)]
    seen = sum(error > 0.1 for error in errors)
    assert 5 < seen < 35, errors


def test_the_error_of_a_product_that_is_to_be_zero_is_absolute() -> None:
    zero = torch.zeros(4, 4)
    assert freivalds(zero, zero, zero) == 0
    assert freivalds(zero, zero, torch.eye(4)) == pytest.approx(2)
