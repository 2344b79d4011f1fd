"""Data-parallel training by hand: every gradient is reduced once, however often its parameter is used."""

import torch
from torch import nn

from harness.scenario import Gang


class Training:
    """SGD with momentum on the squared errors of one batch, whose rows are spread over the gang."""

    def __init__(self, net: nn.Module, x: torch.Tensor, y: torch.Tensor, gang: Gang, *, rate: float) -> None:
        self.net, self.gang, self.batch = net, gang, len(x)
        self.x, self.y = gang.part(x), gang.part(y)
        self.unique = list(net.parameters())
        self.uses = [parameter for _, parameter in net.named_parameters(remove_duplicate=False)]
        self.start = [use.detach().clone() for use in self.uses]
        self.gradients = torch.cat([torch.zeros_like(parameter).flatten() for parameter in self.unique])  # one message
        parts = self.gradients.split([parameter.numel() for parameter in self.unique])
        for parameter, part in zip(self.unique, parts, strict=True):
            parameter.grad = part.view_as(parameter)
        self.optimizer = torch.optim.SGD(self.unique, lr=rate, momentum=0.9)

    def step(self) -> list[nn.Parameter]:
        """Forward, backward, reduction, update. Returns the parameters, those of a shared layer once for every use."""
        self.gradients.zero_()
        loss = (self.net(self.x) - self.y).square().sum() / self.batch  # of the whole batch: the ranks' shares add up
        loss.backward()
        self.gang.all_reduce(self.gradients)
        self.optimizer.step()
        return self.uses

    @torch.no_grad()
    def reset(self) -> None:
        """Back to the start, with nothing trained."""
        for use, initial in zip(self.uses, self.start, strict=True):
            use.copy_(initial)
        for state in self.optimizer.state.values():
            state["momentum_buffer"].zero_()

    @property
    def velocities(self) -> list[torch.Tensor]:
        """What the gradients of all steps have built up, one for every use."""
        return [self.optimizer.state[use]["momentum_buffer"] for use in self.uses]

    def state_bytes(self) -> int:
        """Bytes of parameters, gradients and optimizer state."""
        tensors = {id(tensor): tensor for tensor in (*self.unique, *self.velocities, self.gradients)}
        return sum(tensor.nbytes for tensor in tensors.values())

    def activation_bytes(self) -> int:
        """Bytes that a forward pass keeps for its backward pass, beside its input and the parameters."""
        known = {tensor.untyped_storage().data_ptr() for tensor in (self.x, *self.unique)}
        storages: dict[int, int] = {}

        def keep(tensor: torch.Tensor) -> torch.Tensor:
            storage = tensor.untyped_storage()
            storages[storage.data_ptr()] = storage.nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            out = self.net(self.x)
        assert out.requires_grad  # and so all of it is still there: no storage was counted twice
        return sum(size for pointer, size in storages.items() if pointer not in known)
