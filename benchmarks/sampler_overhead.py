"""What a sampling step costs beside the network: noise, tables, arithmetic; as a share of one network forward.

    python benchmarks/sampler_overhead.py [--device cuda] [--batch 64] [--repeats 5] [--bfloat16] [--compile]

The target is under 5 % at the shape of CIFAR-10 and batch 64. A sampler runs over `--steps` steps with a network that
returns a tensor made beforehand, so that its time is all but the network's; each such run is paired with forwards of
the real network. Noise is made on the device. Prints milliseconds and, for each sampler, the median ratio with the
lowest and highest pair.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor

from rediffuse.diffusion.denoiser import Denoiser
from rediffuse.diffusion.process import DiffusionProcess
from rediffuse.diffusion.randomness import SampleNoise
from rediffuse.diffusion.schedules import respaced_timesteps
from rediffuse.models.presets import preset, with_learned_variance
from rediffuse.models.unet import UNet
from rediffuse.samplers.registry import SAMPLERS

CASES: dict[str, tuple[str, dict[str, float], str]] = {
    "ancestral": ("ancestral", {}, "fixed-large"),
    "ancestral, learned variance": ("ancestral", {}, "learned-range"),
    "ddim, eta 0": ("ddim", {"eta": 0.0}, "fixed-large"),
    "ddim, eta 1": ("ddim", {"eta": 1.0}, "fixed-large"),
    "dpm-solver-pp": ("dpm-solver-pp", {}, "fixed-large"),
}


def seconds(work: Callable[[], object], device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    start = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


def device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU, {torch.get_num_threads()} threads"


@torch.inference_mode()
def measure(arguments: argparse.Namespace) -> dict[str, object]:
    device = torch.device(arguments.device)
    network = UNet(with_learned_variance(preset(arguments.preset))).eval().to(device, memory_format=torch.channels_last)
    model = torch.compile(network) if arguments.compile else network
    size, channels = network.config.image_size, network.config.in_channels
    x = torch.randn(arguments.batch, channels, size, size, device=device).to(memory_format=torch.channels_last)
    t = torch.full((arguments.batch,), 500, device=device)

    def forward() -> None:
        with torch.autocast(device.type, torch.bfloat16, enabled=arguments.bfloat16):
            model(x, t)

    process = DiffusionProcess.create("linear", 1000).respace(respaced_timesteps(1000, arguments.steps))
    output = torch.randn(arguments.batch, 2 * channels, size, size, device=device)
    noise = SampleNoise(0, torch.arange(arguments.batch), (channels, size, size), device=device)

    def sampling(case: str) -> Callable[[], Tensor]:
        name, options, variance = CASES[case]
        answer = output if variance == "learned-range" else output[:, :channels].contiguous()
        denoiser = Denoiser(lambda x, t: answer, process, variance=variance)
        return lambda: SAMPLERS[name].run(denoiser, noise, **options)

    for work in (forward, *map(sampling, CASES)):
        seconds(work, device)
    forwards: list[float] = []
    steps: dict[str, list[float]] = {case: [] for case in CASES}
    for repeat in range(arguments.repeats):
        forwards.append(seconds(lambda: [forward() for _ in range(arguments.forwards)], device) / arguments.forwards)
        for case, times in steps.items():
            times.append(seconds(sampling(case), device) / arguments.steps)
        print(f"repeat {repeat + 1} of {arguments.repeats}: forward {forwards[-1] * 1e3:.1f} ms", file=sys.stderr)
    return {
        "device": device_name(device),
        "network": arguments.preset,
        "bfloat16": arguments.bfloat16,
        "compile": arguments.compile,
        "shape": list(x.shape),
        "repeats": arguments.repeats,
        "forward_ms": round(statistics.median(forwards) * 1e3, 3),
        "beside_the_network": {case: summary(times, forwards) for case, times in steps.items()},
    }


def summary(times: list[float], forwards: list[float]) -> dict[str, float]:
    ratios = [100 * step / forward for step, forward in zip(times, forwards, strict=True)]
    return {
        "ms_per_step": round(statistics.median(times) * 1e3, 3),
        "percent_of_forward": round(statistics.median(ratios), 2),
        "lowest": round(min(ratios), 2),
        "highest": round(max(ratios), 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--preset", default="ho-cifar10")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--forwards", type=int, default=1, help="network forwards a repeat; more of them for a GPU")
    parser.add_argument("--bfloat16", action="store_true")
    parser.add_argument("--compile", action="store_true")
    print(json.dumps(measure(parser.parse_args()), indent=2))


if __name__ == "__main__":
    main()
