"""DCGAN (Radford, Metz & Chintala 2016): a generator and a discriminator of strided convolutions.

Section 3 of the paper: no pooling, no hidden linear layers, batch normalisation in both networks except at the
generator's output and the discriminator's input, ReLU in the generator with tanh at its end, leaky ReLU of slope 0.2 in
the discriminator, every weight drawn from N(0, 0.02²). The same shapes with another norm make the critic of WGAN-GP.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import Literal

from torch import Tensor, nn

from rediffuse.errors import UserError

Norm = Literal["batch", "layer", "none"]
#: Standard deviation of every initial weight (section 4 of the paper).
INITIAL_STD = 0.02
#: Slope of the leaky ReLU below zero.
SLOPE = 0.2


def smallest_map(side: int) -> int:
    """Side of the feature map that a latent vector is turned into: 4 as in the paper, 2 for images below 32×32.

    From 4×4 an 8×8 image is one doubling away, which leaves a discriminator of one hidden layer.

    Raises:
        UserError: the side of the images is no power of two of at least 8.
    """
    if side < 8 or side & (side - 1):
        raise UserError(f"one-pass models make images whose side is a power of two of at least 8, not {side}")
    return 4 if side >= 32 else 2


def hidden_widths(channels: int, shape: tuple[int, int, int]) -> list[int]:
    """Channels of the hidden maps from the largest (half the side of an image) to the smallest.

    Raises:
        UserError: the images are not square or their side is no power of two of at least 8.
    """
    _, height, width = shape
    if height != width:
        raise UserError(f"one-pass models make square images, not {height}×{width}")
    doublings = height.bit_length() - smallest_map(height).bit_length()
    return [channels * 2**k for k in range(doublings)]


class Generator(nn.Module):
    """A latent vector becomes an image in one pass: a map of 4×4 (2×2 for images below 32×32), then a
    transposed convolution for each doubling.

    Args:
        latent: length of z.
        channels: channels of the largest hidden map, those of the smaller ones being 2, 4, ... times as many.
        shape: (C, H, W) of an image, H = W a power of two of at least 8.
        norm: of the hidden layers.

    Raises:
        UserError: the images are not square or their side is no power of two of at least 8.
    """

    def __init__(self, latent: int, channels: int, shape: tuple[int, int, int], norm: Norm = "batch") -> None:
        super().__init__()
        widths, image_channels = hidden_widths(channels, shape), shape[0]
        self.latent = latent
        layers: list[nn.Module] = [
            nn.ConvTranspose2d(latent, widths[-1], smallest_map(shape[1]), bias=norm == "none"),
            *_normed(widths[-1], norm),
            nn.ReLU(),
        ]
        for wide, narrow in zip(widths[:0:-1], widths[-2::-1], strict=True):
            layers += [
                nn.ConvTranspose2d(wide, narrow, 4, 2, 1, bias=norm == "none"),
                *_normed(narrow, norm),
                nn.ReLU(),
            ]
        layers += [nn.ConvTranspose2d(widths[0], image_channels, 4, 2, 1, bias=False), nn.Tanh()]
        self.layers = nn.Sequential(*layers)
        self.apply(initialise)

    def forward(self, z: Tensor) -> Tensor:
        """z [B, latent] -> images [B, C, H, W] in (-1, 1)."""
        return self.layers(z[:, :, None, None])


class Discriminator(nn.Module):
    """An image becomes one number: the logit of "real" in a GAN, the critic's value in WGAN-GP.

    Args:
        channels: channels of the first hidden map, those of the next being 2, 4, ... times as many.
        shape: (C, H, W) of an image, H = W a power of two of at least 8.
        norm: of the hidden layers but the first. WGAN-GP's penalty is on the gradient of each image by itself, which
            batch normalisation would mix: there it is "layer" (Gulrajani et al. 2017, section 4) or "none".

    Raises:
        UserError: the images are not square or their side is no power of two of at least 8.
    """

    def __init__(self, channels: int, shape: tuple[int, int, int], norm: Norm = "batch") -> None:
        super().__init__()
        widths = hidden_widths(channels, shape)
        layers: list[nn.Module] = [nn.Conv2d(shape[0], widths[0], 4, 2, 1, bias=norm == "none"), nn.LeakyReLU(SLOPE)]
        for narrow, wide in pairwise(widths):
            layers += [nn.Conv2d(narrow, wide, 4, 2, 1, bias=norm == "none"), *_normed(wide, norm), nn.LeakyReLU(SLOPE)]
        self.layers = nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, smallest_map(shape[1]), bias=False))
        self.apply(initialise)

    def forward(self, x: Tensor) -> Tensor:
        """Images [B, C, H, W] -> [B]."""
        return self.layers(x).flatten()


def initialise(module: nn.Module) -> None:
    """Weights from N(0, 0.02²), those of norms from N(1, 0.02²), biases 0 (Radford et al. 2016, section 4)."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        nn.init.normal_(module.weight, 0.0, INITIAL_STD)
    elif isinstance(module, nn.BatchNorm2d | nn.GroupNorm):
        nn.init.normal_(module.weight, 1.0, INITIAL_STD)
    else:
        return
    if module.bias is not None:
        nn.init.zeros_(module.bias)


def _normed(channels: int, norm: Norm) -> list[nn.Module]:
    # One group of all channels is the layer normalisation of convolutional networks: over C, H and W of each image.
    kinds: dict[str, Callable[[], list[nn.Module]]] = {
        "batch": lambda: [nn.BatchNorm2d(channels)],
        "layer": lambda: [nn.GroupNorm(1, channels)],
        "none": list,
    }
    if norm not in kinds:
        raise UserError(f"norm: {norm!r} is not a norm; use one of {', '.join(kinds)}")
    return kinds[norm]()
