"""Our U-Net beside diffusers' `UNet2DModel`: a training step and an inference, same shapes, batch and precision.

Both networks have the same number of weights and take turns in one process, so that what else the machine does slows
both; a ratio is taken in each round and its median and quartiles are printed.

    python benchmarks/unet_step.py --size tiny-digits --batch 128
    python benchmarks/unet_step.py --size ho-cifar10 --batch 16 --precision bfloat16 --channels-last
"""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import cast

import torch
from diffusers import UNet2DModel
from torch import Tensor, nn

from rediffuse.models import PRESETS, UNetConfig, build_unet
from rediffuse.training.adam import Adam


def diffusers_network(config: UNetConfig) -> nn.Module:
    """diffusers' network of the same shape."""
    attends = [resolution in config.attention for resolution in config.resolutions]
    network = UNet2DModel(
        sample_size=config.image_size,
        in_channels=config.in_channels,
        out_channels=config.out_channels,
        block_out_channels=config.widths,
        layers_per_block=config.blocks,
        down_block_types=tuple("AttnDownBlock2D" if a else "DownBlock2D" for a in attends),
        up_block_types=tuple("AttnUpBlock2D" if a else "UpBlock2D" for a in reversed(attends)),
        norm_num_groups=config.groups,
        norm_eps=config.norm_eps,
        freq_shift=1,
        flip_sin_to_cos=False,
        downsample_padding=0,
        attention_head_dim=None,
        dropout=config.dropout,
    )
    return cast(nn.Module, network)


def jobs(
    model: nn.Module, predict: Callable[[nn.Module], Tensor], step: Callable[[], None], x: Tensor, bf16: bool
) -> dict[str, Callable[[], None]]:
    """One training step (forward, backward, optimiser) and one inference."""

    def forward() -> Tensor:
        with torch.autocast(x.device.type, torch.bfloat16, enabled=bf16):
            return predict(model)

    def training() -> None:
        model.train()
        (forward().float() - x).square().mean().backward()
        step()

    def inference() -> None:
        model.eval()
        with torch.no_grad():
            forward()

    return {"training step": training, "inference": inference}


def seconds(job: Callable[[], None], device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    job()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=("tiny-digits", "ho-cifar10"), default="tiny-digits")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--channels-last", action="store_true")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device, config = torch.device(options.device), PRESETS[options.size]

    layout = torch.channels_last if options.channels_last else torch.contiguous_format
    shape = (options.batch, config.in_channels, config.image_size, config.image_size)
    x = torch.randn(shape, device=device).contiguous(memory_format=layout)
    t = torch.randint(0, 1000, (options.batch,), device=device)

    ours = build_unet(config, seed=0).to(device).to(memory_format=layout)
    theirs = diffusers_network(config).to(device).to(memory_format=layout)
    sizes = [sum(p.numel() for p in network.parameters()) for network in (ours, theirs)]
    assert sizes[0] == sizes[1], sizes
    adam = Adam(list(ours.parameters()), (0.9, 0.999))
    reference = torch.optim.Adam(theirs.parameters(), lr=1e-4)

    def reference_step() -> None:
        reference.step()
        reference.zero_grad()

    if options.compile:
        # In place, so that the modules keep their train and eval modes.
        ours.compile()
        theirs.compile()
    bf16 = options.precision == "bfloat16"
    mine = jobs(ours, lambda network: network(x, t), lambda: adam.step(1e-4), x, bf16)
    others = jobs(theirs, lambda network: network(x, t).sample, reference_step, x, bf16)

    print(
        f"{options.size}: {sizes[0]:,} parameters, batch {options.batch}, {options.precision}, "
        f"{'channels_last' if options.channels_last else 'contiguous'}, {'compiled' if options.compile else 'eager'}, "
        f"{device}, {options.threads} CPU thread(s), {options.rounds} rounds, torch {torch.__version__}\n"
    )
    print("|  | rediffuse, ms | diffusers, ms | diffusers / rediffuse: median (quartiles) |\n|---|---|---|---|")
    for name, job in mine.items():
        for _ in range(3):
            job()
            others[name]()
        times = [(seconds(job, device), seconds(others[name], device)) for _ in range(options.rounds)]
        low, middle, high = statistics.quantiles([theirs / ours for ours, theirs in times], n=4)
        medians = [1e3 * statistics.median(column) for column in zip(*times, strict=True)]
        print(f"| {name} | {medians[0]:.1f} | {medians[1]:.1f} | {middle:.2f} ({low:.2f}–{high:.2f}) |", flush=True)


if __name__ == "__main__":
    main()
