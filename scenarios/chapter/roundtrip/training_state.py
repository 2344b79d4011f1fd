"""What a training run needs back beside values: an optimizer's moments, and ties between layers."""

from pathlib import Path

import torch
from torch import nn

from harness.scenario import Facts
from scenarios.chapter.roundtrip import formats

WIDTH = 8


def returned(path: Path, device: torch.device, *, assign: bool) -> Facts:
    """Save a network with two tied layers and its Adam after a step, and load them into new ones on ``device``.

    Facts: whether the tie of the parameters is ``kept`` or ``lost``, and how many of Adam's moments came back to the
    device, bit for bit. A tie that was lost is made anew before the optimizer is loaded.
    """
    net, adam = _trained(device, steps=1)
    formats.save_torch({"net": net.state_dict(), "adam": adam.state_dict()}, path)  # type: ignore[dict-item]
    saved = formats.load_torch(path, device)
    other, _ = _trained(device, steps=0)
    other.load_state_dict(saved["net"], assign=assign)  # type: ignore[arg-type]
    tie = "kept" if other[2].weight is other[0].weight else "lost"
    other[2].weight = other[0].weight
    fresh = torch.optim.Adam(other.parameters())
    fresh.load_state_dict(saved["adam"])  # type: ignore[arg-type]
    pairs = zip(_moments(adam), _moments(fresh), strict=True)
    same = [before.device == after.device and torch.equal(before, after) for before, after in pairs]
    return {"tie": tie, "moments": sum(same), "moments_saved": len(same)}


def _trained(device: torch.device, *, steps: int) -> tuple[nn.Sequential, torch.optim.Adam]:
    """A network whose first and last layer share a weight, as an embedding and its output layer do."""
    net = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.Tanh(), nn.Linear(WIDTH, WIDTH)).to(device)
    net[2].weight = net[0].weight
    adam = torch.optim.Adam(net.parameters())
    for _ in range(steps):
        net(torch.randn(WIDTH, WIDTH, device=device)).square().sum().backward()
        adam.step()
    return net, adam


def _moments(adam: torch.optim.Adam) -> list[torch.Tensor]:
    """Both moments of every parameter, in their order."""
    states = (adam.state[parameter] for group in adam.param_groups for parameter in group["params"])
    return [state[name] for state in states for name in ("exp_avg", "exp_avg_sq")]
