"""What cannot be saved with its architecture, and what is not loaded under another name, tried out."""

import contextlib
import io
import logging
import pickle
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from scenarios.chapter.roundtrip.state import State, layer


def verdict(attempt: Callable[[], Any]) -> str:
    """Whether an attempt was accepted or refused."""
    try:
        attempt()
    except (AssertionError, RuntimeError, pickle.UnpicklingError):
        return "refused"
    return "accepted"


class Branch(nn.Module):
    """Which way it goes depends on the data."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``x``, or its negative."""
        return x if x.sum() > 0 else -x


def _quietly(attempt: Callable[[], Any]) -> str:
    """The same of an export, which logs and prints at length why it refuses."""
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            return verdict(attempt)
    finally:
        logging.disable(logging.NOTSET)


def limits(x: torch.Tensor) -> dict[str, str]:
    """What comes of a branch that is exported, and of a whole network that is pickled and loaded as weights only."""
    pickled = io.BytesIO()
    torch.save(nn.Linear(1, 1), pickled)
    pickled.seek(0)
    return {
        "branch": _quietly(lambda: torch.export.export(Branch(), (x,))),
        "pickle": verdict(lambda: torch.load(pickled, weights_only=True)),
    }


@torch.no_grad()
def shifted(part: State, renamed: Callable[[str], str] = str) -> int:
    """How many tensors of ``part`` get to their layers in a network that has one more layer before them.

    Names there are shifted by one: unless they are ``renamed``, a layer gets what belongs to the next. All layers of
    ``part`` have one width.
    """
    firsts = sorted({int(name.partition(".")[0]) for name in part})
    weight = part["0.0.weight"]
    with torch.device("meta"):
        net = nn.Sequential(nn.Identity(), *(layer(len(weight)) for _ in firsts))
    net.to_empty(device=weight.device)
    for tensor in net.state_dict().values():
        tensor.zero_()
    net.load_state_dict({renamed(name): tensor for name, tensor in part.items()}, strict=False)
    now = net.state_dict()
    return sum(torch.equal(now[one_further(name)], tensor) for name, tensor in part.items())


def one_further(name: str) -> str:
    """The name of a tensor where one more layer comes before its own: ``0.0.weight`` becomes ``1.0.weight``."""
    first, dot, rest = name.partition(".")
    return f"{int(first) + 1}{dot}{rest}"


def misnamed(net: nn.Module, fresh: State, part: State) -> int:
    """How many tensors of ``fresh`` change where ``part`` is loaded with a prefix to its names that ``net`` has not."""
    net.load_state_dict(fresh)
    net.load_state_dict({f"model.{name}": tensor for name, tensor in part.items()}, strict=False)
    return sum(not torch.equal(tensor, fresh[name]) for name, tensor in net.state_dict().items())
