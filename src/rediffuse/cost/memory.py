"""Bytes that training holds: parameters and their companions, and what the forward pass keeps for the backward one."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from rediffuse.models.unet import UNet
from rediffuse.models.unet_config import UNetConfig

FLOAT32 = 4


@dataclass(frozen=True)
class StateBytes:
    """Bytes that do not depend on the batch: O(P), one float32 a parameter each, two for Adam's moments."""

    parameters: int
    gradients: int
    adam: int
    ema: int

    @property
    def training(self) -> int:
        """What training holds."""
        return self.parameters + self.gradients + self.adam + self.ema

    @property
    def sampling(self) -> int:
        """What sampling holds: the weights alone."""
        return self.parameters


def state_bytes(parameters: int) -> StateBytes:
    """State of float32 training with Adam and an average of the weights (kept at a decay of 0, too)."""
    one = FLOAT32 * parameters
    return StateBytes(parameters=one, gradients=one, adam=2 * one, ema=one)


def saved_for_backward(network: nn.Module, forward: Callable[[], Tensor], apart: Iterable[Tensor] = ()) -> int:
    """Bytes of all tensors that `forward()` saves for its backward pass, parameters, buffers and `apart` left out.

    Each storage counts once and whole, however many saved tensors are views of it. Under activation checkpointing
    these are the inputs of the checkpointed parts; what they compute again comes and goes during the backward pass.
    """
    # Storages are kept alive until the end, so that no address is used twice.
    own = {s._cdata: s for s in (p.untyped_storage() for p in (*network.parameters(), *network.buffers(), *apart))}
    kept: dict[int, torch.UntypedStorage] = {}

    def pack(tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        if storage._cdata not in own:
            kept[storage._cdata] = storage
        # Nothing is given back: no backward pass follows, and a saved output that held itself would never be freed.

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        result = forward()
    del result
    return sum(storage.nbytes() for storage in kept.values())


def saved_bytes(config: UNetConfig, batch: int = 1) -> int:
    """`saved_for_backward` of one training forward pass of the network on `batch` images, float32, a CPU's operators.

    Nothing is computed: torch's fake tensors run the same operators without their data. A GPU's attention saves a
    little more or less beside its inputs.
    """
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode():
        network = UNet(config.replace(initialisation="torch")).train()  # no weight is looked at
        x = torch.empty(batch, config.in_channels, config.image_size, config.image_size)
        t = torch.zeros(batch, dtype=torch.long)
        y = None if config.num_classes is None else torch.zeros(batch, dtype=torch.long)
        return saved_for_backward(network, lambda: network(x, t, y))
