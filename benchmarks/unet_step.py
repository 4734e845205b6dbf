"""Our U-Net beside two others, a training step and an inference:
diffusers' `UNet2DModel`, denoising-diffusion-pytorch's.

diffusers' network gets our weights, and the outputs are compared before anything is timed.
denoising-diffusion-pytorch's `Unet` is another architecture (RMS norms, two blocks a level on the way up too, linear
attention wherever ours has none): it gets the same levels and the width that brings its number of weights nearest to
ours. That leaves another amount of work, so weights and operations of each are printed. Every network has its own
optimiser as its users have it. All take turns in one process, so that what else the machine does slows all; a ratio is
taken in each round, and the median and quartiles of the rounds are printed. Above 1, ours is faster.

    pip install 'rediffuse[benchmark]'
    python benchmarks/unet_step.py --size tiny-digits --batch 128
    python benchmarks/unet_step.py --size ho-cifar10 --batch 4 --rounds 10 --threads 2
"""

import argparse
import importlib.util
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import torch
from diffusers import UNet2DModel
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from rediffuse.interop.diffusers_format import config_to_diffusers, weights_to_diffusers
from rediffuse.models import PRESETS, UNetConfig, build_unet
from rediffuse.training.adam import Adam

CLOCKS: dict[str, Callable[[], float]] = {"wall": time.perf_counter, "cpu": time.process_time}


@dataclass
class Contender:
    """A network, how it is called, and what its optimiser does with the gradients."""

    name: str
    model: nn.Module
    predict: Callable[[], Tensor]
    step: Callable[[], None]

    @property
    def size(self) -> int:
        """Number of weights."""
        return count(self.model)

    def gigaflops(self) -> float:
        """Operations of one forward of the whole batch, in 1e9."""
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            self.predict()
        return counter.get_total_flops() / 1e9


def count(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def nearest_in_size(build: Callable[[int], nn.Module], wanted: int, width: int) -> nn.Module:
    """The network of the even width, up to twice `width`, that has the number of weights nearest to `wanted`."""
    with torch.device("meta"):
        sizes = {w: count(build(w)) for w in range(width // 2 // 2 * 2, 2 * width, 2)}
    return build(min(sizes, key=lambda w: abs(sizes[w] - wanted)))


def contenders(config: UNetConfig, x: Tensor, t: Tensor, layout: torch.memory_format) -> list[Contender]:
    def placed(model: nn.Module) -> nn.Module:
        return model.to(x.device).to(memory_format=layout)  # type: ignore[call-overload]

    def torch_step(model: nn.Module) -> Callable[[], None]:
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)

        def step() -> None:
            optimizer.step()
            optimizer.zero_grad()

        return step

    own = build_unet(config, seed=0)
    with torch.no_grad():  # nothing may be zero, or the comparison of outputs says nothing
        for parameter in own.parameters():
            parameter.normal_(0.0, parameter[0].numel() ** -0.5 if parameter.ndim > 1 else 0.3)
    theirs = cast(nn.Module, UNet2DModel(**config_to_diffusers(config)))
    theirs.load_state_dict(weights_to_diffusers(config, own.state_dict()))
    ours, theirs = placed(own), placed(theirs)
    adam = Adam(list(ours.parameters()), (0.9, 0.999))
    found = [
        Contender("rediffuse", ours, lambda: ours(x, t), lambda: adam.step(1e-4)),
        Contender("diffusers", theirs, lambda: theirs(x, t).sample, torch_step(theirs)),
    ]
    if importlib.util.find_spec("denoising_diffusion_pytorch") is not None:
        from denoising_diffusion_pytorch import Unet

        attends = tuple(resolution in config.attention for resolution in config.resolutions)

        def build(width: int) -> nn.Module:
            return Unet(
                dim=width,
                dim_mults=config.multipliers,
                channels=config.in_channels,
                dropout=config.dropout,
                full_attn=attends,
            )

        other = placed(nearest_in_size(build, count(ours), config.channels))
        found.append(Contender("denoising-diffusion-pytorch", other, lambda: other(x, t), torch_step(other)))
    return found


def agreement(pair: list[Contender]) -> float:
    """Relative difference of the first two networks' outputs."""
    with torch.no_grad():
        ours, theirs = (contender.model.eval() and contender.predict() for contender in pair[:2])
    return ((ours - theirs).norm() / theirs.norm()).item()


def training(contender: Contender, x: Tensor, bf16: bool) -> None:
    contender.model.train()
    with torch.autocast(x.device.type, torch.bfloat16, enabled=bf16):
        output = contender.predict()
    (output.float() - x).square().mean().backward()
    contender.step()


def inference(contender: Contender, x: Tensor, bf16: bool) -> None:
    contender.model.eval()
    with torch.no_grad(), torch.autocast(x.device.type, torch.bfloat16, enabled=bf16):
        contender.predict()


def seconds(job: Callable[[], None], device: torch.device, clock: Callable[[], float]) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize()
    start = clock()
    job()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return clock() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=("tiny-digits", "ho-cifar10"), default="tiny-digits")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--channels-last", action="store_true")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument(
        "--clock", choices=CLOCKS, default="wall", help="cpu: time this process computed, for a busy CPU"
    )
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device, config = torch.device(options.device), PRESETS[options.size]

    layout = torch.channels_last if options.channels_last else torch.contiguous_format
    shape = (options.batch, config.in_channels, config.image_size, config.image_size)
    x = torch.randn(shape, device=device).contiguous(memory_format=layout)
    t = torch.randint(0, 1000, (options.batch,), device=device)
    networks = contenders(config, x, t, layout)
    difference = agreement(networks)
    assert difference < 1e-4, f"ours and diffusers' outputs differ by {difference:.1e}"
    if options.compile:
        for contender in networks:
            contender.model.compile()  # in place, so that the modules keep their train and eval modes

    print(
        f"{options.size}: batch {options.batch}, {options.precision}, "
        f"{'channels_last' if options.channels_last else 'contiguous'}, {'compiled' if options.compile else 'eager'}, "
        f"{device}, {options.threads} CPU thread(s), {options.clock} time of {options.rounds} rounds, "
        f"torch {torch.__version__}\n"
        f"weights: {', '.join(f'{c.name} {c.size:,}' for c in networks)}\n"
        f"GFLOP of an image's forward: {', '.join(f'{c.name} {c.gigaflops() / options.batch:.4g}' for c in networks)}\n"
        f"same weights, ours against diffusers: outputs differ by {difference:.1e} of their norm\n"
    )
    print("|  | " + " | ".join(f"{c.name}, ms" for c in networks), end=" | ")
    print(" | ".join(f"{c.name} / rediffuse: median (quartiles)" for c in networks[1:]) + " |")
    print("|---" * (2 * len(networks)) + "|")
    bf16 = options.precision == "bfloat16"
    for name, task in (("training step", training), ("inference", inference)):
        rounds = []
        for number in range(options.rounds + 3):  # three to warm up
            times = [seconds(lambda task=task, c=c: task(c, x, bf16), device, CLOCKS[options.clock]) for c in networks]
            if number >= 3:
                rounds.append(times)
        cells = [f"{1e3 * statistics.median(column):.1f}" for column in zip(*rounds, strict=True)]
        for other in range(1, len(networks)):
            low, middle, high = statistics.quantiles([times[other] / times[0] for times in rounds], n=4)
            cells.append(f"{middle:.2f} ({low:.2f}–{high:.2f})")
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
