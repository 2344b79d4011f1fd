"""The parameters of a script after its last step, as a digest: replicas have the same."""

import gc
import hashlib
from collections.abc import Iterable, Iterator
from typing import Literal

import torch
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer

Kind = Literal["replicated", "plain", "sharded", "none"]


def parameters(optimizers: Iterable[Optimizer]) -> tuple[Kind, str]:
    """What the parameters are, and the digest of all of them; empty where there is none to compare.

    Of DistributedDataParallel modules, where there are any: their parameters are alike on all ranks by design. Else of
    what the optimizers update.
    """
    replicas = [item for item in gc.get_objects() if issubclass(type(item), DistributedDataParallel)]
    if replicas:
        return "replicated", _joined(sorted(_digest(_of(module)) for module in replicas))
    updated = [item for optimizer in optimizers for group in optimizer.param_groups for item in group["params"]]
    if not updated:
        return "none", ""
    if any(isinstance(item, DTensor) or _flat(item) for item in updated):
        return "sharded", ""
    return "plain", _digest(updated)


def _of(module: DistributedDataParallel) -> Iterator[torch.Tensor]:
    left_out = module.parameters_to_ignore
    return (tensor for name, tensor in module.module.named_parameters() if name not in left_out)


def _flat(parameter: torch.Tensor) -> bool:
    """Whether it is one that the first FullyShardedDataParallel has made of several."""
    return type(parameter).__name__ == "FlatParameter" or getattr(parameter, "_is_flat_param", False)


def _digest(tensors: Iterable[torch.Tensor]) -> str:
    hashed = hashlib.sha256()
    for tensor in tensors:
        content = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
        hashed.update(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
        hashed.update(content.numpy().data)
    return hashed.hexdigest()


def _joined(digests: Iterable[str]) -> str:
    return hashlib.sha256("".join(digests).encode()).hexdigest()
