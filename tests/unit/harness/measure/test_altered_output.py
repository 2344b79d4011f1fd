"""Outputs in which every number is another."""

import torch

from harness.measure.altered_output import altered


def test_every_number_is_another_and_the_output_stays() -> None:
    output = {"sum": torch.tensor([0.0, -1.0, 2.5]), "count": (3, True), "of": torch.tensor([-1, 0, 5])}
    before = {"sum": output["sum"].clone(), "of": output["of"].clone()}
    other = altered(output)
    for name, tensor in before.items():
        assert not torch.eq(other[name], tensor).any(), name
        assert torch.equal(output[name], tensor)
    assert other["count"][0] != 3
    assert other["count"][1] is False


def test_special_numbers_are_replaced_too() -> None:
    output = torch.tensor([float("inf"), float("-inf"), float("nan"), 1e38, -1.0])
    other = altered(output)
    assert not torch.isclose(other, output, equal_nan=True).any()


def test_an_output_without_numbers_is_not_altered() -> None:
    for output in (None, "text", [], torch.empty(0), {"name": None}):
        assert altered(output) is None
