"""A small GPT, its training data, and what one of its training steps computes."""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from harness.scenario import Gang

VOCABULARY = 512


@dataclass(frozen=True)
class Shape:
    """The size of a model."""

    width: int
    layers: int
    context: int
    """Tokens of a sequence."""
    vocabulary: int = VOCABULARY

    @property
    def parameters(self) -> int:
        """How many numbers are learned."""
        norms = 2 * self.layers + 1
        return 12 * self.layers * self.width**2 + (2 * self.vocabulary + self.context + norms) * self.width

    def flops(self, tokens: int) -> int:
        """FLOPs of matrix products in a step that trains on so many tokens, attention over the full square.

        Forward pass, gradients of activations and gradients of weights; nothing that is computed twice.
        """
        weights = 12 * self.layers * self.width**2 + self.vocabulary * self.width
        return 6 * tokens * weights + 12 * self.layers * tokens * self.context * self.width


class Block(nn.Module):
    """Attention and a feed-forward layer, each behind a norm and beside a shortcut."""

    def __init__(self, width: int, heads: int, device: torch.device) -> None:
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList(nn.RMSNorm(width, device=device) for _ in range(2))
        self.qkv = nn.Linear(width, 3 * width, bias=False, device=device)
        self.out = nn.Linear(width, width, bias=False, device=device)
        self.up = nn.Linear(width, 4 * width, bias=False, device=device)
        self.down = nn.Linear(4 * width, width, bias=False, device=device)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map activations ``[batch, context, width]`` to others of that shape; no token sees later ones."""
        q, k, v = self.qkv(self.norms[0](x)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        seen = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(seen.transpose(1, 2).flatten(2))
        up: torch.Tensor = functional.gelu(self.up(self.norms[1](x)))
        return x + self.down(up)  # type: ignore[no-any-return]


class GPT(nn.Module):
    """A decoder of ``shape``, its weights drawn from ``seed``: the same bits wherever that is done on a device."""

    def __init__(self, shape: Shape, seed: int, device: torch.device) -> None:
        super().__init__()
        self.token = nn.Embedding(shape.vocabulary, shape.width, device=device)
        self.place = nn.Embedding(shape.context, shape.width, device=device)
        heads = max(1, shape.width // 64)
        self.blocks = nn.ModuleList(Block(shape.width, heads, device) for _ in range(shape.layers))
        self.norm = nn.RMSNorm(shape.width, device=device)
        self.head = nn.Linear(shape.width, shape.vocabulary, bias=False, device=device)
        generator = torch.Generator(device).manual_seed(seed)
        for weight in self.parameters():
            if weight.dim() > 1:
                nn.init.normal_(weight, std=weight.shape[-1] ** -0.5, generator=generator)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Mean loss of telling each next token, of sequences ``[batch, context + 1]``: a scalar."""
        given, due = tokens[:, :-1], tokens[:, 1:]
        x = self.token(given) + self.place.weight
        for block in self.blocks:
            x = block(x)
        return functional.cross_entropy(self.head(self.norm(x)).flatten(0, 1), due.flatten())


def seed_of(gang: Gang) -> int:
    """A seed for weights, the same on every rank and in every variant."""
    return int(torch.randint(2**31, (), device=gang.device, generator=gang.shared_generator))


def sequences(gang: Gang, batch: int, shape: Shape) -> torch.Tensor:
    """This rank's tokens, ``[batch, context + 1]``."""
    size = batch, shape.context + 1
    return torch.randint(shape.vocabulary, size, device=gang.device, generator=gang.generator)
