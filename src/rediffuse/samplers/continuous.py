"""Noise levels between the steps of a process, for solvers that choose their own.

The angle phi = arctan sqrt((1 - abar) / abar) runs from near 0 (image) to near pi/2 (noise): x_t = cos(phi) x0 +
sin(phi) eps. In it the probability-flow ODE reads dx / d phi = v = cos(phi) eps - sin(phi) x0 (Salimans & Ho 2022,
arXiv:2202.00512, appendix D), whose solutions stay of the size of an image all the way, so that one tolerance fits
every level.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from rediffuse.diffusion.process import DiffusionProcess
from rediffuse.errors import UserError


def angles(process: DiffusionProcess) -> Tensor:
    """phi of every step of a process, float64 [num_timesteps], ascending."""
    return torch.atan(torch.sqrt((1 - process.alphas_bar) / process.alphas_bar))


def time_of_level(process: DiffusionProcess, alphas_bar: Tensor) -> Tensor:
    """The network's own, fractional time at which a process has these alpha_bar: float64, shape of `alphas_bar`.

    log(abar / (1 - abar)) is interpolated linearly in t between the steps of `process`, and held at its ends.
    """
    log_snr = torch.logit(process.alphas_bar).flip(0).numpy()
    times = process.timestep_map.to(torch.float64).flip(0).numpy()
    return torch.from_numpy(np.interp(torch.logit(alphas_bar).numpy(), log_snr, times))


def refined(process: DiffusionProcess, cells: int) -> DiffusionProcess:
    """A process of cells + 1 steps equally spaced in phi, from the cleanest level of `process` to its noisiest.

    Its `timestep_map` is float64 and fractional: the network must take such times, as sinusoidal embeddings do. Call a
    denoiser over it with t as a tensor [B].
    """
    phi = angles(process)
    grid = torch.linspace(float(phi[0]), float(phi[-1]), cells + 1, dtype=torch.float64)
    alphas_bar = torch.cos(grid).square()
    betas = 1 - alphas_bar / torch.cat([alphas_bar.new_ones(1), alphas_bar[:-1]])
    return DiffusionProcess(betas, time_of_level(process, alphas_bar), process.origin)


def refuse_mu(denoiser: Any) -> None:
    """Raise `UserError` for a network that predicts mu, the mean of a trained step: it has no meaning between steps."""
    while hasattr(denoiser, "denoiser"):
        denoiser = denoiser.denoiser
    if getattr(denoiser, "prediction", None) == "mu":
        raise UserError("a network that predicts mu cannot be asked between its steps; use fractional=False")
