"""FLOPs of products that PyTorch's own counter does not know."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.work.counting import count

sizes = st.integers(2, 6)


@settings(deadline=None)  # the first example loads the counter
@given(sizes, sizes, sizes, st.integers(0, 6))
def test_bilinear_is_two_contractions(batch: int, first: int, second: int, outputs: int) -> None:
    x, y, weight = torch.randn(batch, first), torch.randn(batch, second), torch.randn(outputs, first, second)
    told = count(lambda: F.bilinear(x, y, weight)).flops
    assert told == 2 * batch * outputs * (first * second + second)


def products(action: Callable[[], object]) -> int:
    """FLOPs of the products that the kernels below really do, as PyTorch's profiler sees them."""
    with torch.profiler.profile(record_shapes=True) as profile:
        action()
    shapes = [event.input_shapes for event in profile.events() if event.name == "aten::bmm"]
    return sum(2 * math.prod(left) * right[2] for left, right, *_ in shapes)


def test_bilinear_and_its_gradients_count_what_a_profile_shows() -> None:
    x, y, weight = (torch.randn(shape, requires_grad=True) for shape in ((3, 5), (3, 7), (11, 5, 7)))
    out = F.bilinear(x, y, weight)
    grad = torch.randn_like(out)
    actions: list[Callable[[], object]] = [
        lambda: F.bilinear(x, y, weight),
        *(lambda wanted=wanted: torch.autograd.grad(out, wanted, grad, retain_graph=True) for wanted in (x, y, weight)),
    ]
    told = [count(action).flops for action in actions]
    assert told == [products(action) for action in actions]
    assert min(told) > 0


def test_constant_operands_of_bilinear_are_seen() -> None:
    x, weight = torch.randn(3, 5), torch.randn(7, 5, 5)
    assert count(lambda: F.bilinear(x, x, weight)).constant_operands == 0
    assert count(lambda: F.bilinear(x, x, torch.ones_like(weight))).constant_operands == 1
