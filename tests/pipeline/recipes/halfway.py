"""DDIM without noise that shrinks its estimate of x0: an example."""

from rediffuse.samplers.ddim import ddim_step
from rediffuse.samplers.levels import alpha_bar_levels


def halfway(denoiser, noise, *, shrink=0.9, callback=None):
    """Sample over the denoiser's process; returns x0, [B, C, H, W]."""
    levels, x = alpha_bar_levels(denoiser.process), noise.initial()
    for k, t in enumerate(reversed(range(denoiser.process.num_timesteps))):
        denoised = denoiser(x, t)
        if callback is not None:
            callback(k, t, x, denoised)
        x = ddim_step(shrink * denoised.x0, denoised.eps, levels[t + 1], levels[t])
    return x
