"""Guidance, for any sampler: classifier-free (it wraps the model) and by a classifier (it wraps the denoiser)."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from rediffuse.diffusion.denoiser import Denoised
from rediffuse.diffusion.predictions import eps_from_x0
from rediffuse.diffusion.process import DiffusionProcess, Time
from rediffuse.errors import UserError
from rediffuse.samplers.interfaces import DenoiserLike

Model = Callable[[Tensor, Tensor, Tensor | None], Tensor]


@dataclass(frozen=True)
class ClassifierFreeGuidance:
    """A class-conditional model with guidance (Ho & Salimans 2022, arXiv:2207.12598, eq. 6), both halves in one
    forward.

    output = unconditional + scale (conditional - unconditional). `scale` = 1 is the conditional model and 0 the
    unconditional one, each with a single-size forward; the paper's w is scale - 1. Because x0, mu, v and eps are affine
    in one another at fixed x_t, the same line holds for every prediction target. Of a model with 2C outputs the first C
    are guided, and the variance half is the conditional one.

    `model(x [B, C, H, W], t, y [B]) -> [B, C or 2C, H, W]`; `null_label` is the label that means "no class".
    """

    model: Model
    scale: float
    null_label: int

    def __call__(self, x: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        """The guided output at x, t for labels y [B]. Raises `UserError` without labels."""
        if y is None:
            raise UserError("classifier-free guidance needs a label for every image; pass labels to the denoiser")
        null = torch.full_like(y, self.null_label)
        if self.scale == 1:
            return self.model(x, t, y)
        if self.scale == 0:
            return self.model(x, t, null)
        # A time of shape [1] serves the whole batch; one of shape [B] is doubled along with it.
        both_t = t if t.ndim == 0 or len(t) == 1 else torch.cat([t, t])
        conditional, unconditional = self.model(torch.cat([x, x]), both_t, torch.cat([y, null])).chunk(2)
        channels = x.shape[1]
        guided = torch.lerp(unconditional[:, :channels], conditional[:, :channels], self.scale)
        return guided if conditional.shape[1] == channels else torch.cat([guided, conditional[:, channels:]], dim=1)


@dataclass(frozen=True)
class ClassifierGuidance:
    """A denoiser shifted by the gradient of a noise-conditional classifier (Dhariwal & Nichol 2021, arXiv:2105.05233).

    With g = grad_{x_t} log p(y | x_t): mean + scale * variance * g for ancestral sampling (Algorithm 1, the gradient
    taken at x_t as in the authors' code), and eps - scale * sqrt(1 - abar) * g with the x0 that belongs to it for all
    others (Algorithm 2); x0 is not clipped again after the shift, as in that code, unless `clip` says so. Where abar is
    tiny, as at the end of a cosine schedule, x0 moves by (1 - abar) / sqrt(abar) times the gradient: a classifier's
    least error there then throws x0 far outside the pixels' range, and with `clip` it stays in [-1, 1], eps following.

    `classifier(x [B, C, H, W], t [B]) -> logits [B, classes]`, t as the process's `timestep_map` gives it; `labels`:
    int64 [B]. The classifier must treat the images of a batch independently (evaluation mode).
    """

    denoiser: DenoiserLike
    classifier: Callable[[Tensor, Tensor], Tensor]
    labels: Tensor
    scale: float = 1.0
    clip: bool = False

    @property
    def process(self) -> DiffusionProcess:
        """The denoiser's process."""
        return self.denoiser.process

    def __call__(self, x: Tensor, t: Time) -> Denoised:
        """The denoiser's estimates at x_t, shifted towards the labels."""
        denoised = self.denoiser(x, t)
        shift = self.scale * self.gradient(x, t)
        signal, noise = self.process.at("signal", t, x), self.process.at("noise", t, x)
        eps, x0 = denoised.eps - noise * shift, denoised.x0 + noise * noise / signal * shift
        if self.clip:
            x0 = x0.clamp(-1, 1)
            eps = eps_from_x0(self.process, x0, x, t)
        return denoised._replace(eps=eps, x0=x0, mean=denoised.mean + denoised.variance * shift)

    def gradient(self, x: Tensor, t: Time) -> Tensor:
        """grad_{x_t} log p(y | x_t), [B, C, H, W]."""
        # The caller may be in inference mode, whose tensors cannot take part in a gradient: leave it, and copy them.
        with torch.inference_mode(False), torch.enable_grad():
            x, labels = x.detach().clone().requires_grad_(True), self.labels.to(x.device, copy=True)
            log_probability = torch.log_softmax(self.classifier(x, self.process.model_time(t, x)), dim=1)
            chosen = log_probability.gather(1, labels[:, None]).sum()
            return torch.autograd.grad(chosen, x)[0]
