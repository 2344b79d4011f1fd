"""The planted cost of PyTorch's operations on an emulated device: of launching each, and of its FLOPs and bytes."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from harness.device.emulated.device import EmulatedDevice
from harness.work.flop_formulas import FORMULAS

_FORMULAS = flop_registry | FORMULAS
_NO_KERNELS = {"c10d", "_c10d_functional", "_c10d_functional_autograd", "prim", "profiler", "fsdp"}
"""Namespaces of operators that launch nothing themselves: the process group gives communication its time."""
_ALLOCATES = {"empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided", "resize_", "set_", "detach"}
_READS = {"_local_scalar_dense", "is_nonzero", "equal"}
"""Operators whose result the host waits for."""


class _PlantedCost(TorchDispatchMode):
    """Does each operation on the CPU at once, and advances the emulated clocks by what is planted for it."""

    supports_higher_order_operators = True

    def __init__(self, device: EmulatedDevice) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._device = device

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if any(issubclass(kind, FakeTensor) for kind in types):
            return func(*args, **kwargs)  # nothing is computed: DTensor asks which shape an operation would have
        if any(kind.__torch_dispatch__ is not torch._C._disabled_torch_dispatch_impl for kind in types):  # noqa: SLF001
            return NotImplemented  # a tensor that consists of others: the operations on those come next
        output = func(*args, **kwargs)
        if not isinstance(func, torch._ops.OpOverload) or func.namespace in _NO_KERNELS:  # noqa: SLF001
            return output
        tensors = [leaf for leaf in tree_leaves(output) if isinstance(leaf, torch.Tensor)]
        for tensor in tensors:
            if tensor.device.type == "cpu":  # neither meta nor fake
                self._device.hold_memory(tensor)
        name = func._overloadpacket.__name__  # noqa: SLF001
        if name in _READS:
            self._device.synchronize()
        elif _launches(func):
            self._device.launch(self._seconds(func, args, kwargs, output))
        return output

    def _seconds(self, func: Any, args: Any, kwargs: Any, output: Any) -> float:
        """The operation's time: the longer of the times for its FLOPs and for the bytes of its operands and results."""
        emulation, seconds = self._device.emulation, 0.0
        if emulation.bytes_per_s is not None:
            moved = (leaf.nbytes for leaf in tree_leaves((args, kwargs, output)) if isinstance(leaf, torch.Tensor))
            seconds = math.fsum(moved) / emulation.bytes_per_s
        formula = _FORMULAS.get(func._overloadpacket)  # noqa: SLF001
        if formula is not None and emulation.flops_per_s is not None:
            seconds = max(seconds, formula(*args, **kwargs, out_val=output) / emulation.flops_per_s)
        return seconds


@cache
def _launches(func: Any) -> bool:
    """Whether an operator launches anything on a GPU: it computes new numbers, or changes some."""
    if func._overloadpacket.__name__ in _ALLOCATES:  # noqa: SLF001
        return False
    schema = func._schema  # noqa: SLF001
    return not any(value.alias_info and not value.alias_info.is_write for value in schema.returns)


@contextmanager
def planted_cost(device: EmulatedDevice) -> Iterator[None]:
    """Whatever PyTorch does in the block costs the device what is planted."""
    with _PlantedCost(device):
        yield
