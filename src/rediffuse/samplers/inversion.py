"""DDIM inversion: the noise from which DDIM makes a given image (Song, Meng & Ermon 2021, arXiv:2010.02502,
section 4.3).

DDIM with eta = 0 is Euler's method for an ODE (eq. 14), which can be run from the image to the noise as well:
"encoding", whose error the paper's table 2 measures.
"""

import torch
from torch import Tensor

from rediffuse.samplers.interfaces import Callback, DenoiserLike
from rediffuse.samplers.levels import alpha_bar_levels
from rediffuse.samplers.probability_flow import probability_flow_step


@torch.no_grad()
def ddim_invert(denoiser: DenoiserLike, x0: Tensor, *, callback: Callback | None = None) -> Tensor:
    """x_T of images x0, [B, C, H, W], by DDIM's steps (eta = 0) from alpha_bar = 1 up over the denoiser's process.

    `ddim(denoiser, StartFrom(x_T, noise))` then gives x0 back, up to an error of first order in the number of steps:
    eps is taken at the start of each step, and DDIM takes it at the other end. The first step, from the image itself,
    asks the network at t = 0, the cleanest it knows. `callback(k, t, x, denoised)` runs before step k. A denoiser that
    clips changes what lies outside [-1, 1]. Network evaluations: one a step. Returns [B, C, H, W].
    """
    levels, x = alpha_bar_levels(denoiser.process), x0
    for k in range(denoiser.process.num_timesteps):
        t = max(k - 1, 0)
        denoised = denoiser(x, t)
        if callback is not None:
            callback(k, t, x, denoised)
        x = probability_flow_step(x, denoised.eps, levels[k], levels[k + 1])
    return x
