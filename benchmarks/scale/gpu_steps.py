"""What whole steps take on a GPU, of training and of sampling: `python -m benchmarks.scale.gpu_steps`.

`--warm NETWORK WHAT` compiles one network and measures nothing: kernels are kept on disk, and several processes can
make them at once.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from benchmarks.scale import RESULTS, record
from benchmarks.scale.networks import NETWORKS

from rediffuse.cost.timing import Spread
from rediffuse.diffusion.denoiser import Denoiser
from rediffuse.diffusion.objectives import Objective
from rediffuse.diffusion.process import DiffusionProcess
from rediffuse.diffusion.randomness import SampleNoise
from rediffuse.diffusion.schedules import respaced_timesteps
from rediffuse.hardware import Hardware
from rediffuse.models.unet import UNet
from rediffuse.models.unet_config import UNetConfig
from rediffuse.samplers import ancestral
from rediffuse.training import Denoising, TrainingConfig
from rediffuse.training.ema import ExponentialMovingAverage
from rediffuse.weights import on_device

TRAINING, SAMPLING, STEPS = 128, 500, 40
WAYS = ("compiled", "eager")
NAMES = {
    # That of studies/cifar10-jpeg.yaml.
    "quarter": UNetConfig(image_size=32, channels=64, multipliers=(1, 2, 2, 2), blocks=2, attention=(16,), dropout=0.1),
    "ho-cifar10": NETWORKS["ho-cifar10"],
}


def learner(config: UNetConfig, compiled: bool) -> Denoising:
    """Baseline training as a study has it, of random pictures."""
    images = torch.randint(0, 256, (1024, 3, 32, 32), dtype=torch.uint8)
    hardware = Hardware(device="cuda", precision="bfloat16", channels_last=True, compile=compiled)
    settings = TrainingConfig(steps=10_000, batch_size=TRAINING, log_every=1000)
    process = DiffusionProcess.create("linear", 1000)
    return Denoising(UNet(config), process, Objective(), images, None, settings, 0, hardware)


def seconds_a_step(step: Callable[[int], object], rounds: int = 6, steps: int = 12) -> list[float]:
    """Of each round, after one that is not counted."""
    found = []
    for number in range(rounds + 1):
        torch.cuda.synchronize()
        start = time.perf_counter()
        for k in range(steps):
            step(number * steps + k)
        torch.cuda.synchronize()
        found.append((time.perf_counter() - start) / steps)
    return found[1:]


def training(config: UNetConfig, compiled: bool) -> dict[str, Any]:
    """Seconds of whole steps, average and record included, launched one by one and replayed."""
    torch.cuda.reset_peak_memory_stats()
    one = learner(config, compiled)
    average = ExponentialMovingAverage(one.network, 0.9995)

    def step(k: int) -> None:
        one.interval.count %= 1000
        one.step(k)
        average.update()

    ways = {"one by one": None, "replayed": one.replayed}
    found = {}
    for name, replayed in ways.items():
        one.replayed = replayed
        began = time.perf_counter()
        step(0)
        torch.cuda.synchronize()
        first = time.perf_counter() - began
        found[name] = {"first": first, "step": Spread.of(seconds_a_step(step)).record()}
    return {**found, "peak bytes": torch.cuda.max_memory_allocated()}


class _Same:
    """Noise that costs nothing: the same each time."""

    def __init__(self, noise: SampleNoise) -> None:
        self.noise = noise.initial()

    def initial(self) -> torch.Tensor:
        return self.noise

    def step(self, k: int) -> torch.Tensor:
        return self.noise


@torch.inference_mode()
def sampling(config: UNetConfig, compiled: bool) -> dict[str, Any]:
    """Seconds a step of ancestral sampling: with counted noise by torch's operations or compiled, and with noise that
    costs nothing.
    """
    hardware = Hardware(device="cuda", precision="bfloat16", channels_last=True, compile=compiled)
    network = on_device(UNet(config), "cuda", True).eval()
    module = torch.compile(network) if hardware.compile else network

    def predict(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cuda", torch.bfloat16):
            return module(x.contiguous(memory_format=torch.channels_last), t)

    process = DiffusionProcess.create("linear", 1000).respace(respaced_timesteps(1000, STEPS, "uniform"))
    counted, made = (
        SampleNoise(0, torch.arange(SAMPLING), (3, 32, 32), device="cuda", compiled=fused) for fused in (False, True)
    )
    found = {}
    for name, source in {"counted": counted, "compiled": made, "free": _Same(counted)}.items():
        seconds = seconds_a_step(lambda _, s=source: ancestral(Denoiser(predict, process), s), rounds=4, steps=1)
        found[name] = Spread.of([value / STEPS for value in seconds]).record()
    return found


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the figures are written")
    parser.add_argument("--networks", nargs="+", choices=NAMES, default=[*NAMES], help="only these")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=[*WAYS], help="only these")
    parser.add_argument("--warm", nargs=2, metavar=("NETWORK", "WHAT"), help="compile: training or sampling")
    options = parser.parse_args(words)
    torch.backends.cudnn.deterministic = True  # as jobs have it
    if options.warm:
        name, what = options.warm
        {"training": training, "sampling": sampling}[what](NAMES[name], True)
        return
    for name in options.networks:
        config, began = NAMES[name], time.monotonic()
        found: dict[str, Any] = {"batch": TRAINING, "images": SAMPLING, "ways": {}}
        for way in options.ways:
            torch.compiler.reset()
            one = {"training": training(config, way == "compiled"), "sampling": sampling(config, way == "compiled")}
            found["ways"][way] = one
            record(f"gpu-steps-{name}", "gpu_steps", options.results, began, found, "cuda")
            print(f"{name} {way}: {time.monotonic() - began:.0f} s; {told(one)}", flush=True)


def told(one: dict[str, Any]) -> str:
    """The medians of a network's steps, in a line."""
    step, drawn = one["training"], one["sampling"]
    ms = {name: 1000 * step[name]["step"]["median"] for name in ("one by one", "replayed")}
    ms |= {f"sampling, {name} noise": 1000 * found["median"] for name, found in drawn.items()}
    return ", ".join(f"{name} {value:.2f} ms" for name, value in ms.items()) + f"; {step['peak bytes'] / 2**30:.1f} GiB"


if __name__ == "__main__":
    main()
