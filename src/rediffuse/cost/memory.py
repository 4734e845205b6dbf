"""Bytes that training holds: parameters and their companions, and what the forward pass keeps for the backward one."""

import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd.graph import saved_tensors_hooks
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

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

    A GPU's attention saves a little more or less beside its inputs.
    """
    with _without_data(config, batch) as (network, inputs):
        return saved_for_backward(network.train(), lambda: network(*inputs))


class LiveBytes(TorchDispatchMode):
    """Counts the bytes of the storages that operators have made and that are still alive: `now`, and at most `peak`.

    What is alive when it is entered does not count, nor the scratch memory inside an operator.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._alive: dict[int, weakref.ref[torch.UntypedStorage]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """The operator as it is, its new storages noted."""
        result, given = func(*args, **(kwargs or {})), {_storage(t) for t in _tensors((args, kwargs))}
        for tensor in _tensors(result):
            if (key := _storage(tensor)) not in self._alive and key not in given:
                storage = tensor.untyped_storage()
                self._alive[key] = weakref.ref(storage, partial(self._gone, key, storage.nbytes()))
                self.now += storage.nbytes()
        self.peak = max(self.peak, self.now)
        return result

    def _gone(self, key: int, count: int, _: object) -> None:
        self.now -= count
        del self._alive[key]


def sampling_bytes(config: UNetConfig, batch: int = 1) -> int:
    """Most bytes that one forward pass of `batch` images without gradients holds at once, beside weights and inputs.

    Sampling holds them whatever its number of steps; a sampler's own x_t and x̂₀ are a few images more.
    """
    with _without_data(config, batch) as (network, inputs), torch.no_grad(), LiveBytes() as live:
        network.eval()(*inputs)
    return live.peak


def _tensors(values: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(values) if isinstance(leaf, Tensor)]


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata


@contextmanager
def _without_data(config: UNetConfig, batch: int) -> Iterator[tuple[UNet, tuple[Tensor, Tensor, Tensor | None]]]:
    """The network and its inputs as torch's fake tensors, which run the same operators and compute nothing."""
    with FakeTensorMode():
        network = UNet(config.replace(initialisation="torch"))  # no weight is looked at
        x = torch.empty(batch, config.in_channels, config.image_size, config.image_size)
        t = torch.zeros(batch, dtype=torch.long)
        y = None if config.num_classes is None else torch.zeros(batch, dtype=torch.long)
        yield network, (x, t, y)
