"""The variational autoencoder (Kingma & Welling 2014), convolutional, with a decoder over 8-bit levels.

Prior N(0, I); posterior N(μ(x), diag σ²(x)) from a convolutional encoder; likelihood a Gaussian around the decoder's
image, integrated over the bin of each 8-bit level, with one standard deviation for all pixels that is learned with the
weights (Rybkin, Daniilidis & Levine 2021, "σ-VAE"). The likelihood is that of the uint8 images themselves, so the bound
may stand beside DDPM's, whose last term is the same discretised Gaussian.
"""

import math

import torch
from torch import Tensor, nn

from rediffuse.diffusion.gaussian import decoder_log_likelihood, normal_kl
from rediffuse.models.dcgan import Generator, hidden_widths, smallest_map

#: Initial ln σ of the decoder, and its floor: half a level of 8 bits, below which a bin holds all of the mass.
INITIAL_LOG_STD, LOWEST_LOG_STD = math.log(0.3), math.log(1 / 255)
#: The posterior's ln σ² is kept inside ± this, so that one odd image cannot make the KL overflow.
LOG_VARIANCE_LIMIT = 12.0


class VAE(nn.Module):
    """Encoder and decoder; the decoder has the shape of DCGAN's generator without normalisation.

    Args:
        latent: length of z.
        channels: channels of the largest hidden map, those of the smaller ones being 2, 4, ... times as many.
        shape: (C, H, W) of an image, H = W a power of two of at least 8.

    Raises:
        UserError: the images are not square or their side is no power of two of at least 8.
    """

    def __init__(self, latent: int, channels: int, shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.decoder = Generator(latent, channels, shape, norm="none")
        widths, side = hidden_widths(channels, shape), smallest_map(shape[1])
        layers: list[nn.Module] = []
        for before, after in zip([shape[0], *widths[:-1]], widths, strict=True):
            layers += [nn.Conv2d(before, after, 4, 2, 1), nn.ReLU()]
        self.encoder = nn.Sequential(*layers, nn.Flatten(), nn.Linear(widths[-1] * side * side, 2 * latent))
        self.log_std = nn.Parameter(torch.tensor(INITIAL_LOG_STD))
        # 0.02 is meant for normalised layers; without them the signal would die away.
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight, mode="fan_out" if isinstance(module, nn.Conv2d) else "fan_in")

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and ln σ² of q(z | x), each [B, latent], for images [B, C, H, W] in [-1, 1]."""
        mean, log_variance = self.encoder(x).chunk(2, dim=1)
        return mean, log_variance.clamp(-LOG_VARIANCE_LIMIT, LOG_VARIANCE_LIMIT)

    def log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        """ln p(x | z) of 8-bit images mapped to [-1, 1], [B] in nats."""
        log_variance = 2 * self.log_std.clamp(min=LOWEST_LOG_STD)
        return decoder_log_likelihood(x, self.decoder(z), log_variance).flatten(1).sum(1)

    def bound(self, x: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """The two parts of the negative bound, each [B] in nats: reconstruction −ln p(x | z) and KL(q(z | x) ‖ p(z)).

        One draw of z = μ + σ·noise (equation 10 of the paper); the KL is exact (its appendix B).

        Args:
            x: 8-bit images mapped to [-1, 1], [B, C, H, W].
            noise: standard normal, [B, latent].
        """
        mean, log_variance = self.posterior(x)
        z = mean + torch.exp(0.5 * log_variance) * noise
        return -self.log_likelihood(x, z), normal_kl(mean, log_variance, 0.0, 0.0).sum(1)
