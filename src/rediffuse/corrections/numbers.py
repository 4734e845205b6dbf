"""The numbers of the corrections: each function works out what a document prints wrongly, and gives it by name.

What stands here as a literal is what a document or paper prints; all else is computed.
"""

import functools
import math
from collections.abc import Mapping

import scipy.stats
import torch
from torch import Tensor, nn

from rediffuse.cost.exact import parameter_count
from rediffuse.cost.flops import FlopCount, count_flops, total
from rediffuse.cost.memory import FLOAT32, saved_bytes, state_bytes
from rediffuse.diffusion.objectives import importance_weight
from rediffuse.diffusion.process import DiffusionProcess
from rediffuse.diffusion.schedules import betas_for_alpha_bar, cosine_alpha_bar, make_betas
from rediffuse.models.presets import preset
from rediffuse.models.unet import UNet
from rediffuse.models.unet_config import UNetConfig

Numbers = Mapping[str, float | int]


def _linear() -> DiffusionProcess:
    return DiffusionProcess.create("linear", 1000)


@functools.cache
def _flops(side: int) -> FlopCount:
    """Of one image under Ho et al.'s network, which attends behind its first halving."""
    return total(count_flops(preset("base", image_size=side, attention=(side // 2,))))


def resolution() -> Numbers:
    """How FLOPs of Ho et al.'s network grow with the side, its attention at the same depth (D0, section 3.3.1)."""
    one, two = _flops(32), _flops(64)
    kinds = {"convolution": two.convolution / one.convolution, "attention": two.attention / one.attention}
    return {**kinds, "all": two.total / one.total}


def gan() -> Numbers:
    """One image of D0's 32 waits for the whole batch: 15.2 s, against 0.002 s (section 3.3)."""
    return {"share": 15.2 / 32 / 0.002, "latency": 15.2 / 0.002}


def epochs() -> Numbers:
    """Passes over CIFAR-10's 50,000 images: D0's, and those of Ho et al. 2020, appendix B (800,000 steps of 128)."""
    return {"d0": 40_000 * 32 / 50_000, "ho": 800_000 * 128 / 50_000}


def parameters() -> Numbers:
    """Of Ho et al.'s network for CIFAR-10."""
    return {"ho": parameter_count(preset("base"))}


def evaluation() -> Numbers:
    """Hours that 50,000 images take at D0's 0.475 s each."""
    return {"hours": 50_000 * 0.475 / 3600}


def activations() -> Numbers:
    """Shares of what one image of D0's network (attention at 16 and 8) keeps for the backward pass."""
    whole = preset("base", attention=(16, 8))
    without = saved_bytes(whole.replace(attention=(), middle_attention=False))
    every = saved_bytes(whole)
    return {"attention": 100 * (every - without) / every, "mib": every / 2**20}


def gpu() -> Numbers:
    """Memory of the RTX 3090 that D0's own listing shows (figure 2.1), in GiB."""
    return {"gib": 24576 / 1024}


def tanh() -> Numbers:
    """Share of the values of standard normal noise that a Tanh cannot give."""
    return {"outside": 100 * math.erfc(1 / math.sqrt(2))}


def state() -> Numbers:
    """MiB that do not depend on the batch, of Ho et al.'s network, in training and in sampling."""
    held = state_bytes(parameter_count(preset("base")))
    return {"training": held.training / 2**20, "sampling": held.sampling / 2**20}


def sampling_memory() -> Numbers:
    """MiB of an image's largest feature map, of the skips that wait beside it, and of both for 64 images."""
    config = preset("base")
    largest = _largest_map(config) * FLOAT32 / 2**20
    skips = sum(_skips(config)) * FLOAT32 / 2**20
    return {"largest": largest, "skips": skips, "ratio": skips / largest, "batch": 64 * largest}


def _largest_map(config: UNetConfig) -> int:
    """Numbers in the largest output of a convolution for one image."""
    found: list[int] = []

    def note(module: nn.Module, inputs: object, output: Tensor) -> None:
        found.append(output.numel())

    with torch.device("meta"), torch.no_grad():
        network = UNet(config).eval()
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                module.register_forward_hook(note)
        network(torch.empty(1, config.in_channels, config.image_size, config.image_size), torch.zeros(1))
    return max(found)


def _skips(config: UNetConfig) -> list[int]:
    """Numbers in each feature map that the way up takes from the way down: of the first layer, blocks and halvings."""
    sides, widths = config.resolutions, config.widths
    kept = [config.channels * sides[0] ** 2]
    for scale, (side, width) in enumerate(zip(sides, widths, strict=True)):
        kept += [width * side**2] * config.blocks
        kept += [width * (side // 2) ** 2] if scale < len(sides) - 1 else []
    return kept


def rank() -> Numbers:
    """Of the covariance of 100 images' features, and its side in Inception's."""
    return {"rank": 100 - 1, "side": 2048}


def trend() -> Numbers:
    """The line through D3's six distances by epoch (section 3): slope for each epoch, and its 95 % interval."""
    found = scipy.stats.linregress([5, 10, 15, 20, 25, 30], [257.68, 214.59, 246.37, 211.25, 205.01, 228.97])
    half = float(scipy.stats.t.ppf(0.975, 6 - 2)) * found.stderr
    return {"slope": float(found.slope), "low": found.slope - half, "high": found.slope + half, "p": found.pvalue}


def fall() -> Numbers:
    """Where ᾱ of the linear schedule falls fastest, and how fast it falls there and at the end."""
    steps = -torch.diff(_linear().alphas_bar)
    return {"t": int(steps.argmax()) + 1, "times": float(steps.max() / steps[-1])}


def importance() -> Numbers:
    """The weight of L_{t−1} at t = 0 with σ² = β, and with σ = β² put in its place (D4, section 3.4.3)."""
    p = _linear()
    beta = p.betas[0]
    wrong = beta**2 / (2 * beta**2 * p.alphas[0] * (1 - p.alphas_bar[0]))
    return {"right": float(importance_weight(p)[0]), "wrong": float(wrong)}


def quadratic() -> Numbers:
    """ᾱ that D4's quadratic and the linear schedule end with, and at how many t the quadratic β is the larger."""
    ours, theirs = _linear(), DiffusionProcess.create("d4-quadratic", 1000)
    above = int((theirs.betas > ours.betas + 1e-12).sum())
    return {"linear": float(ours.alphas_bar[-1]), "quadratic": float(theirs.alphas_bar[-1]), "above": above}


def clip() -> Numbers:
    """Cosine betas that a lower clip of 1e-4 changes, and the largest share that it adds to 1 − ᾱ."""
    betas = betas_for_alpha_bar(1000, cosine_alpha_bar)
    clipped = betas.clamp(min=1e-4)
    noise = [1 - torch.cumprod(1 - b, 0) for b in (betas, clipped)]
    return {"changed": int((clipped != betas).sum()), "more": 100 * float((noise[1] / noise[0]).max() - 1)}


def ends() -> Numbers:
    """ᾱ at the start of sampling in 50 steps: of the trained schedule, of one built anew, and of its first 50 steps."""
    rebuilt = DiffusionProcess(make_betas("linear", 50, beta_start=1e-4, beta_end=0.02))
    trained = _linear()
    return {
        "trained": float(trained.alphas_bar[-1]),
        "rebuilt": float(rebuilt.alphas_bar[-1]),
        "cut": float(trained.alphas_bar[49]),
    }


def energy() -> Numbers:
    """Mean square of a pixel after a step of β = 0.02 from data of variance 1: expected, and as D4 prints it."""
    return {"right": 0.98 + 0.02, "wrong": 0.98 + 0.02 * 3 * 32 * 32}


def sizes() -> Numbers:
    """Parameters of D4's printed classes in the four sizes of its exercise 3.6.1.

    What its text has lost is read as usual: 3×3 convolutions that halve, two blocks in the middle, one block more a
    scale on the way up.
    """
    named = {
        "tiny": (16, (1, 2, 2)),
        "small": (32, (1, 2, 2, 4)),
        "base": (64, (1, 2, 4, 8)),
        "large": (128, (1, 2, 4, 8)),
    }
    return {name: d4_parameters(channels, multipliers) for name, (channels, multipliers) in named.items()}


def d4_parameters(
    channels: int, multipliers: tuple[int, ...], *, middle: int = 2, more: int = 1, halving: int = 3
) -> int:
    """Parameters of D4's U-Net (section 3.6.1) for one grey channel: two blocks a scale on the way down, `more` than
    that on the way up, `middle` between; `halving`: side of the convolutions that halve.
    """
    time = 4 * channels

    def conv(inside: int, outside: int, side: int) -> int:
        return inside * outside * side**2 + outside

    def block(inside: int, outside: int) -> int:
        shortcut = conv(inside, outside, 1) if inside != outside else 0
        return conv(inside, outside, 3) + conv(outside, outside, 3) + (time + 1) * outside + 4 * outside + shortcut

    count = (channels + 1) * time + (time + 1) * time + conv(1, channels, 3)
    skips, now = [channels], channels
    for scale, factor in enumerate(multipliers):
        for _ in range(2):
            count += block(now, channels * factor)
            now = channels * factor
            skips.append(now)
        if scale < len(multipliers) - 1:
            count += conv(now, now, halving)
            skips.append(now)
    count += middle * block(now, now)
    for scale, factor in reversed(list(enumerate(multipliers))):
        for _ in range(2 + more):
            count += block(now + skips.pop(), channels * factor)
            now = channels * factor
        count += conv(now, now, 4) if scale > 0 else 0
    return count + 2 * now + conv(now, 1, 3)


def per_step() -> Numbers:
    """Milliseconds of a step of D0's 32 images, and what D4's division by the images makes of them (section 3.7.2)."""
    return {"step": 15.2, "divided": 15.2 / 32}


def rate() -> Numbers:
    """TFLOP/s that 64 images of 32×32 in 5 ms would need (D4, section 3.5.1), with Ho et al.'s network."""
    flops = _flops(32).total
    return {"needed": 64 * flops / 0.005 / 1e12, "peak": 35.6, "d0": 32 * flops / 0.015 / 1e12}
