"""Bytes that training holds: parameters and their companions, and what the forward pass keeps for the backward one."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from rediffuse.models.unet import Stage, UNet
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
    these are the inputs of the checkpointed parts; what they compute again comes and goes during the backward pass
    (`recomputed_bytes`).
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


def recomputed_bytes(network: nn.Module, forward: Callable[[], Tensor]) -> int:
    """The most bytes that the inside of one checkpointed stage takes during the backward pass; 0 without any."""
    sizes = [0]

    def run_inside(stage: Stage, given: tuple[Tensor, Tensor | None]) -> None:
        inputs: list[Any] = [None if part is None else part.detach().requires_grad_() for part in given]
        apart = [part for part in inputs if part is not None]  # the outer forward pass keeps them
        with torch.enable_grad():
            sizes.append(saved_for_backward(stage, lambda: stage._run(*inputs), apart))

    stages = [module for module in network.modules() if isinstance(module, Stage) and module.checkpointing]
    hooks = [stage.register_forward_pre_hook(run_inside) for stage in stages]
    with torch.no_grad():
        forward()
    for hook in hooks:
        hook.remove()
    return max(sizes)


def peak_training_bytes(network: nn.Module, forward: Callable[[], Tensor]) -> int:
    """An estimate of a training step's peak: state, saved tensors and the largest recomputed stage.

    What single operations need for a moment and the allocator's own overhead are left out (`peak_memory` measures).
    """
    state = state_bytes(sum(p.numel() for p in network.parameters()))
    return state.training + saved_for_backward(network, forward) + recomputed_bytes(network, forward)


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
