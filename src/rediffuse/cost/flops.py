"""Floating-point operations of one forward pass, by kind and by resolution, as torch's own counter has them.

One multiply-add is two FLOPs. Only convolutions, linear layers and the two products of attention count; norms,
activations and additions are not matrix products, and a few per cent of the whole.
"""

from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from rediffuse.models.blocks import SelfAttention
from rediffuse.models.unet import UNet
from rediffuse.models.unet_config import UNetConfig


@dataclass(frozen=True)
class FlopCount:
    """FLOPs by kind.

    convolution: of all convolutions; grows with the pixels.
    projection: of the linear layers inside attention (queries, keys, values and output); grows with the pixels.
    attention: of the products QKᵀ and softmax(QKᵀ)V; grows with the square of the pixels.
    linear: of all other linear layers (embeddings); the same at every resolution.
    """

    convolution: int = 0
    projection: int = 0
    attention: int = 0
    linear: int = 0

    @property
    def total(self) -> int:
        """All kinds together."""
        return self.convolution + self.projection + self.attention + self.linear

    @property
    def attention_share(self) -> float:
        """Share of the attention layers, their linear layers included."""
        return (self.projection + self.attention) / self.total if self.total else 0.0

    def __add__(self, other: "FlopCount") -> "FlopCount":
        """Kind by kind."""
        return FlopCount(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))


def count_flops(config: UNetConfig, batch: int = 1) -> dict[int, FlopCount]:
    """FLOPs of one forward pass of `batch` images, by side of the image at which they happen, largest side first.

    A convolution counts where its output lies, attention where its input does; layers that see no image (embeddings)
    stand under 0. Nothing is computed: the network is built and run on torch's `meta` device, where attention is two
    plain batched products.
    """
    with torch.device("meta"):
        network = UNet(config).eval()
        x = torch.empty(batch, config.in_channels, config.image_size, config.image_size)
        t = torch.zeros(batch, dtype=torch.long)
        y = None if config.num_classes is None else torch.zeros(batch, dtype=torch.long)
    return _count(network, x, t, y)


def _count(network: nn.Module, *inputs: Tensor | None) -> dict[int, FlopCount]:
    sides: dict[str, int] = {}
    attentions = {name for name, module in network.named_modules() if isinstance(module, SelfAttention)}
    handles = []
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d):
            handles.append(module.register_forward_hook(_note_side(sides, name, of_output=True)))
        elif isinstance(module, SelfAttention):
            handles.append(module.register_forward_hook(_note_side(sides, name, of_output=False)))
    try:
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            network(*inputs)
    finally:
        for handle in handles:
            handle.remove()

    root = type(network).__name__
    counted = {name: sum(by_op.values()) for name, by_op in counter.get_flop_counts().items()}
    result: dict[int, FlopCount] = {}

    def add(side: int, flops: FlopCount) -> None:
        result[side] = result.get(side, FlopCount()) + flops

    assigned = 0
    for name, module in network.named_modules():
        flops = counted.get(f"{root}.{name}", 0)
        above = next((a for a in attentions if name.startswith(f"{a}.")), None)
        if isinstance(module, nn.Conv2d):
            add(sides.get(name, 0), FlopCount(convolution=flops))
        elif isinstance(module, nn.Linear):
            add(sides[above] if above else 0, FlopCount(projection=flops) if above else FlopCount(linear=flops))
        elif name in attentions:
            # What attention does itself is what its layers do not.
            inner = sum(counted.get(f"{root}.{name}.{child}", 0) for child, _ in module.named_children())
            flops -= inner
            add(sides[name], FlopCount(attention=flops))
        else:
            continue
        assigned += flops
    if assigned != counter.get_total_flops():
        raise RuntimeError(
            f"{counter.get_total_flops() - assigned} FLOPs lie in no convolution, linear layer or attention"
        )
    return dict(sorted(((s, f) for s, f in result.items() if f.total), reverse=True))


def _note_side(sides: dict[str, int], name: str, *, of_output: bool):  # type: ignore[no-untyped-def]
    def hook(_module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        sides[name] = (output if of_output else inputs[0]).shape[-1]

    return hook


def total(by_side: dict[int, FlopCount]) -> FlopCount:
    """All resolutions together."""
    return sum(by_side.values(), FlopCount())
