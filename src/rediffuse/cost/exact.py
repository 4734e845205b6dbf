"""All that a configuration costs and no clock is needed for: the same on every machine."""

from dataclasses import asdict, dataclass
from typing import Any

import torch

from rediffuse.cost.flops import FlopCount, count_flops, total
from rediffuse.cost.memory import StateBytes, sampling_bytes, saved_bytes, state_bytes
from rediffuse.models.unet import UNet
from rediffuse.models.unet_config import UNetConfig

CONVENTION = (
    "1 multiply-add = 2 FLOPs; convolutions, linear layers and the products of attention; one forward pass of one "
    "image. Activations: bytes of float32 tensors saved for the backward pass, each storage once, parameters apart. "
    "Memory by the cost model: in training the weights, gradients, Adam's two moments and the average of the weights, "
    "and the activations of all images of a batch; in sampling the weights, and what a forward pass holds at once."
)


@dataclass(frozen=True)
class Exact:
    """Cost of one configuration.

    parameters: their number; by_side: FLOPs of one image by side in pixels (0: embeddings); activation_bytes: saved
    for the backward pass of one image; checkpointed_bytes: the same with activation checkpointing; sampling_bytes: held
    at once by a forward pass of one image without gradients.
    """

    config: UNetConfig
    parameters: int
    by_side: dict[int, FlopCount]
    activation_bytes: int
    checkpointed_bytes: int
    sampling_bytes: int
    state: StateBytes

    @property
    def flops(self) -> FlopCount:
        """FLOPs of one image."""
        return total(self.by_side)

    def record(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "config": self.config.model_dump(mode="json"),
            "parameters": self.parameters,
            "flops": asdict(self.flops),
            "flops_by_side": {str(side): asdict(flops) for side, flops in self.by_side.items()},
            "activation_bytes": self.activation_bytes,
            "checkpointed_bytes": self.checkpointed_bytes,
            "sampling_bytes": self.sampling_bytes,
            "state_bytes": asdict(self.state),
        }


def exact_cost(config: UNetConfig) -> Exact:
    """Parameters, FLOPs and bytes of a configuration, without computing anything with it."""
    count = parameter_count(config)
    return Exact(
        config=config,
        parameters=count,
        by_side=count_flops(config),
        activation_bytes=saved_bytes(config.replace(checkpointing=False)),
        checkpointed_bytes=saved_bytes(config.replace(checkpointing=True)),
        sampling_bytes=sampling_bytes(config),
        state=state_bytes(count),
    )


def parameter_count(config: UNetConfig) -> int:
    """Number of parameters."""
    with torch.device("meta"):
        return sum(p.numel() for p in UNet(config).parameters())


def training_memory(config: UNetConfig, batch: int) -> int:
    """Bytes that training on `batch` images at once holds at the end of its forward pass, by the cost model."""
    return state_bytes(parameter_count(config)).training + batch * saved_bytes(config)
