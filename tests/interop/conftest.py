"""Networks in which nothing is zero, so that a zero-initialised layer cannot hide a mistake."""

from collections.abc import Callable

import pytest
import torch

from rediffuse.models import UNet, UNetConfig


@pytest.fixture
def awake() -> Callable[[UNet], UNet]:
    """Makes every parameter random, activations staying near unit size, and sets evaluation mode."""

    def wake(model: UNet) -> UNet:
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for parameter in model.parameters():
                scale = parameter[0].numel() ** -0.5 if parameter.ndim > 1 else 0.3
                parameter.normal_(0.0, scale, generator=generator)
        return model.eval()

    return wake


@pytest.fixture
def images() -> Callable[..., torch.Tensor]:
    """Makes the same random images every time."""

    def make(config: UNetConfig, count: int = 3) -> torch.Tensor:
        size = config.image_size
        return torch.randn(
            count,
            config.in_channels,
            size,
            size,
            generator=torch.Generator().manual_seed(1),
        )

    return make
