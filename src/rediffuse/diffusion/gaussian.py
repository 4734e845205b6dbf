"""Divergences and log-probabilities of diagonal Gaussians. In nats, of the caller's dtype, element by element."""

import math

import torch
from torch import Tensor

from rediffuse.errors import UserError

#: How the probability of a bin is computed: see `decoder_log_likelihood`.
DECODERS: tuple[str, ...] = ("exact", "tanh")
#: Half the distance between two 8-bit levels mapped to [−1, 1].
HALF_BIN = 1 / 255


def normal_kl(mean1: Tensor, logvar1: Tensor | float, mean2: Tensor | float, logvar2: Tensor | float) -> Tensor:
    """KL(N(mean1, e^logvar1) ‖ N(mean2, e^logvar2)) in nats, broadcast.

    Written as ½(expm1(d) − d + (mean1 − mean2)² e^(−logvar2)), d = logvar1 − logvar2, which keeps its digits in float32
    where the two are nearly equal and the textbook form subtracts 1 from a number near 1.
    """
    logvar1, logvar2 = (torch.as_tensor(value, dtype=mean1.dtype, device=mean1.device) for value in (logvar1, logvar2))
    d = logvar1 - logvar2
    return 0.5 * (torch.expm1(d) - d + (mean1 - mean2) ** 2 * torch.exp(-logvar2))


def decoder_log_likelihood(x0: Tensor, mean: Tensor, log_variance: Tensor | float, *, decoder: str = "exact") -> Tensor:
    """log p(x_0 | x_1) of an 8-bit level under a Gaussian: its mass on [x_0 − 1/255, x_0 + 1/255] (DDPM eq. 13).

    The bins of the end levels −1 and 1 reach to ∓∞.

    Args:
        x0: 8-bit levels mapped to [−1, 1].
        mean, log_variance: of the Gaussian, of x0's dtype.
        decoder: "exact", the integral itself, computed in log space and float64, so that it is right where the mass is
            far below the smallest float32; or "tanh", `discretized_gaussian_log_likelihood`.

    Returns:
        nats, of x0's shape and dtype.
    """
    if decoder == "tanh":
        log_std = 0.5 * torch.as_tensor(log_variance, dtype=x0.dtype, device=x0.device)
        return discretized_gaussian_log_likelihood(x0, mean, log_std)
    if decoder != "exact":
        raise UserError(f"unknown decoder {decoder!r}; choose one of {', '.join(DECODERS)}")
    inverse_std = torch.exp(-0.5 * torch.as_tensor(log_variance, dtype=torch.float64, device=x0.device))
    centred = x0.double() - mean.double()
    upper, lower = (centred + HALF_BIN) * inverse_std, (centred - HALF_BIN) * inverse_std
    log_mass = torch.where(
        x0 < -0.999,
        torch.special.log_ndtr(upper),
        torch.where(x0 > 0.999, torch.special.log_ndtr(-lower), log_ndtr_difference(upper, lower)),
    )
    return log_mass.to(x0.dtype)


def log_ndtr_difference(upper: Tensor, lower: Tensor) -> Tensor:
    """log(Φ(upper) − Φ(lower)) for upper > lower, without underflow in either tail."""
    # In the right tail Φ is 1 to all digits: reflect, so that both arguments lie on the left or astride zero.
    right = lower > 0
    high, low = torch.where(right, -lower, upper), torch.where(right, -upper, lower)
    log_high = torch.special.log_ndtr(high)
    return log_high + torch.log(-torch.expm1(torch.special.log_ndtr(low) - log_high))


def discretized_gaussian_log_likelihood(x: Tensor, means: Tensor, log_scales: Tensor) -> Tensor:
    """The decoder as DDPM's and IDDPM's code compute it, to compare with their numbers: nats, of x's shape and dtype.

    It takes the logarithm of the standard deviation, approximates Φ by a tanh (`approx_standard_normal_cdf`) and
    floors the mass at 1e-12, so that it is neither the integral of DDPM eq. 13 nor of use as a gradient far away.
    Computed in float64: in float32 the difference of two numbers near 1 is wrong by percents.
    """
    centred = x.double() - means.double()
    inverse_std = torch.exp(-log_scales.double())
    upper = approx_standard_normal_cdf(inverse_std * (centred + HALF_BIN))
    lower = approx_standard_normal_cdf(inverse_std * (centred - HALF_BIN))
    inside = (upper - lower).clamp(min=1e-12).log()
    left, right = upper.clamp(min=1e-12).log(), (1 - lower).clamp(min=1e-12).log()
    return torch.where(x < -0.999, left, torch.where(x > 0.999, right, inside)).to(x.dtype)


def approx_standard_normal_cdf(x: Tensor) -> Tensor:
    """Φ to about 3e-4: ½(1 + tanh(√(2/π)(x + 0.044715 x³))) (Page 1977), as in IDDPM's code."""
    return 0.5 * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def mean_flat(x: Tensor) -> Tensor:
    """The mean over all dimensions but the first: [B]."""
    return x.flatten(1).mean(1)
