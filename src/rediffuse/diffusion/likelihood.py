"""The variational bound on −log p(x_0), whole and by term, in bits/dim (DDPM eq. 5; IDDPM, §2.2).

L = L_T + Σ_{t=1}^{T−1} L_{t−1} + L_0: how far q(x_T | x_0) is from N(0, 1); how far each reverse step is from the
posterior; and the decoder of 8-bit levels. Index t of a term is the t of x_t, so that index 0 is L_0.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from rediffuse.diffusion.denoiser import Denoiser, reverse_gaussian
from rediffuse.diffusion.gaussian import mean_flat, normal_kl
from rediffuse.diffusion.objectives import bound_term
from rediffuse.diffusion.process import DiffusionProcess
from rediffuse.diffusion.randomness import counted_normal
from rediffuse.errors import UserError


@dataclass(frozen=True, eq=False)
class BoundTerms:
    """The bound of each image of a batch; bits/dim where not said otherwise.

    Attributes:
        terms: [B, T]; column t ≥ 1 is L_{t−1} = KL(q(x_{t−1}|x_t,x_0) ‖ p(x_{t−1}|x_t)), column 0 is L_0.
        prior: [B], L_T.
        total: [B], their sum.
        mse_eps, mse_x0: [B, T], mean squared error of ε̂ and x̂_0 (no unit).
    """

    terms: Tensor
    prior: Tensor
    mse_eps: Tensor
    mse_x0: Tensor

    @property
    def total(self) -> Tensor:
        """[B], the whole bound."""
        # A sum of thousands of small terms: in float64, and returned in the caller's dtype.
        return (self.terms.double().sum(1) + self.prior.double()).to(self.terms.dtype)


@dataclass(frozen=True, eq=False)
class BitsPerDim:
    """The bound over a data split: means over its images, float64 on the CPU; bits/dim where not said otherwise.

    Attributes:
        total: the bound.
        standard_error: of `total`, over images.
        prior: L_T.
        decoder: L_0.
        terms: [T]; index t ≥ 1 is L_{t−1}, index 0 is L_0.
        mse_eps, mse_x0: [T] (no unit).
        per_image: [N], the bound of each image.
        timestep_map: int64 [T], the network's own time of each t.
    """

    total: float
    standard_error: float
    prior: float
    decoder: float
    terms: Tensor
    mse_eps: Tensor
    mse_x0: Tensor
    per_image: Tensor
    timestep_map: Tensor


def prior_bits_per_dim(process: DiffusionProcess, x0: Tensor) -> Tensor:
    """L_T = KL(q(x_T | x_0) ‖ N(0, 1)) in bits/dim, [B]."""
    q = process.q_mean_variance(x0, process.num_timesteps - 1)
    return mean_flat(normal_kl(q.mean, q.log_variance, 0.0, 0.0)) / math.log(2)


@torch.no_grad()
def bound_terms(
    denoiser: Denoiser,
    x0: Tensor,
    indices: Tensor,
    *,
    seed: int = 0,
    decoder: str = "exact",
    noise: Callable[[int], Tensor] | None = None,
    compiled: bool = False,
    on_step: Callable[[int], None] | None = None,
) -> BoundTerms:
    """Every term of the bound for one batch, with one network evaluation for each t.

    Where the denoiser clips x̂_0, the mean follows from it, also of a network that predicts μ, whose mean IDDPM's code
    leaves as it is: compare such a network's bound with theirs by a denoiser with clip=False.

    Args:
        denoiser: its process may be a respaced one, whose bound this then is.
        x0: [B, C, …], 8-bit levels mapped to [−1, 1].
        indices: int64 [B], the images' indices in their split: the noise of image i at t is counted by (seed, i, t).
        decoder: "exact" or "tanh" (`decoder_log_likelihood`).
        noise: the noise at t in place of the counted one.
        compiled: of the counted one, see `counted_normal`.
        on_step: told each t as it is done, from T−1 to 0.
    """
    process = denoiser.process
    if len(indices) != len(x0):
        raise UserError(f"{len(x0)} images came with {len(indices)} indices; there must be one for each image")
    shape = (len(x0), process.num_timesteps)
    terms, mse_eps, mse_x0 = (x0.new_empty(shape) for _ in range(3))
    for t in reversed(range(process.num_timesteps)):
        if noise is None:
            how: dict[str, Any] = {"dtype": x0.dtype, "device": x0.device, "compiled": compiled}
            eps = counted_normal(seed, indices, t, x0.shape[1:], purpose="likelihood", **how)
        else:
            eps = noise(t)
        xt = process.q_sample(x0, t, eps)
        denoised = denoiser(xt, t)
        terms[:, t] = bound_term(process, x0, xt, t, reverse_gaussian(denoised), decoder)
        mse_eps[:, t] = mean_flat((denoised.eps - eps) ** 2)
        mse_x0[:, t] = mean_flat((denoised.x0 - x0) ** 2)
        if on_step is not None:
            on_step(t)
    return BoundTerms(terms, prior_bits_per_dim(process, x0), mse_eps, mse_x0)


def bits_per_dim(
    denoiser: Denoiser,
    batches: Iterable[tuple[Tensor, Tensor] | tuple[Tensor, Tensor, Tensor]],
    *,
    seed: int = 0,
    decoder: str = "exact",
    on_step: Callable[[int], None] | None = None,
) -> BitsPerDim:
    """The bound over a data split, given as batches of (x0, indices) or (x0, indices, labels); see `bound_terms`.

    Sums are float64, so that the result does not depend on the size of the batches beyond the network's own rounding.
    """
    parts = (
        bound_terms(
            denoiser.with_labels(batch[2]) if len(batch) == 3 else denoiser,
            batch[0],
            batch[1],
            seed=seed,
            decoder=decoder,
            on_step=on_step,
        )
        for batch in batches
    )
    return over_images(parts, denoiser.process.timestep_map)


def over_images(parts: Iterable[BoundTerms], timestep_map: Tensor) -> BitsPerDim:
    """The means of `bound_terms` over the images of all batches, added up in float64.

    `timestep_map`: int64 [T], of the process whose bound it is.
    """
    terms, mse_eps, mse_x0 = (torch.zeros(len(timestep_map), dtype=torch.float64) for _ in range(3))
    per_image: list[Tensor] = []
    prior = 0.0
    for bound in parts:
        for total, part in ((terms, bound.terms), (mse_eps, bound.mse_eps), (mse_x0, bound.mse_x0)):
            total += part.double().sum(0).cpu()
        prior += float(bound.prior.double().sum())
        per_image.append(bound.total.double().cpu())
    if not per_image:
        raise UserError("no images to compute a likelihood of; give at least one batch")
    bounds = torch.cat(per_image)
    count = len(bounds)
    return BitsPerDim(
        total=float(bounds.mean()),
        standard_error=float(bounds.std()) / math.sqrt(count) if count > 1 else math.nan,
        prior=prior / count,
        decoder=float(terms[0]) / count,
        terms=terms / count,
        mse_eps=mse_eps / count,
        mse_x0=mse_x0 / count,
        per_image=bounds,
        timestep_map=timestep_map.clone(),
    )
