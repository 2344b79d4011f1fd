"""What linear layers make of an input one after the other, by the formula: the oracle of networks that are no more."""

from collections.abc import Callable, Sequence

from torch import Tensor


def chained(tensors: Sequence[Tensor], x: Tensor, between: Callable[[Tensor], Tensor] | None = None) -> Tensor:
    """The output in float64: x Wᵀ + b for every layer in turn, with ``between`` them an activation.

    ``tensors`` are weights and biases in turn, ``x`` has a row for each sample; gradients pass to both.
    """
    x = x.double()
    for number, (weight, bias) in enumerate(zip(tensors[::2], tensors[1::2], strict=True)):
        if number and between is not None:
            x = between(x)
        x = x @ weight.double().T + bias.double()
    return x
