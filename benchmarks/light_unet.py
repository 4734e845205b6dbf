"""Light U-Nets beside Ho et al.'s at 32×32: parameters, memory of a training step and its time.

Document D0 hopes that depthwise-separable blocks save 80 % of the parameters and 60 % of the memory. Each row is a
design; the columns say which of the two it reaches, and the last line says what is true. On a CPU the peak is an
estimate (`rediffuse.models.memory`), measured at batches of 1 and 2 and continued as the straight line it is; on a GPU
it is what the allocator handed out.

What it finds: at Ho et al.'s width no light design saves 80 % of the parameters, and without checkpointing expanded
blocks hold more activations, not fewer (expansion 2: +57 %, 6: +263 %). At 96 channels and expansion 2, the preset
light-cifar10, -82 % of the parameters cost +18 % of the activations; checkpointing brings its peak to -74 % at batch
32. Checkpointing alone gives the Ho network -47 % there, and -61 % at batch 128.

    python benchmarks/light_unet.py
    python benchmarks/light_unet.py --device cuda --batch 32 128 --steps 20
"""

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from rediffuse.models import PRESETS, UNet, UNetConfig, build_unet
from rediffuse.models.memory import peak_training_bytes, saved_activation_bytes
from rediffuse.training.adam import Adam
from rediffuse.training.ema import ExponentialMovingAverage

HO = PRESETS["ho-cifar10"]


def designs() -> dict[str, UNetConfig]:
    """What is compared: expansion, squeeze-excitation, width and checkpointing."""
    plain = {"Ho": HO, "Ho, 64 channels": replace(HO, channels=64)}
    for channels in (128, 96, 64):
        for expansion in (1, 2, 4, 6):
            config = replace(HO, channels=channels, block="inverted", expansion=expansion)
            plain[f"inverted x{expansion}, {channels} channels"] = config
        plain[f"inverted-se x2, {channels} channels"] = replace(HO, channels=channels, block="inverted-se", expansion=2)
    checkpointed = {f"{name}, checkpointing": replace(config, checkpointing=True) for name, config in plain.items()}
    return plain | checkpointed


@dataclass(frozen=True)
class Measured:
    """One design at one batch size: numbers of parameters, bytes and milliseconds."""

    parameters: int
    saved: int
    peak: int
    step_ms: float


def measure(config: UNetConfig, batch: int, device: str, steps: int) -> Measured:
    """Train a few steps of a fresh network on noise."""
    model = build_unet(config, 0).to(device).train()
    side, cuda = config.image_size, torch.device(device).type == "cuda"

    def loss_of(images: int) -> Callable[[], Tensor]:
        x = torch.randn(images, config.in_channels, side, side, device=device)
        t = torch.randint(0, 1000, (images,), device=device)
        return lambda: (model(x, t) - x).square().mean()

    one, two = (saved_activation_bytes(loss_of(n), list(model.parameters()))[1] for n in (1, 2))
    peak = 0
    if not cuda:
        low, high = (peak_training_bytes(model, loss_of(n)) for n in (1, 2))
        peak = low + (batch - 1) * (high - low)
    times = time_steps(model, loss_of(batch), steps, torch.cuda.synchronize if cuda else lambda: None)
    if cuda:
        peak = torch.cuda.max_memory_allocated()
    count = sum(p.numel() for p in model.parameters())
    return Measured(count, one + (batch - 1) * (two - one), peak, 1000 * statistics.median(times or [float("nan")]))


def time_steps(model: UNet, loss: Callable[[], Tensor], steps: int, wait: Callable[[], object]) -> list[float]:
    """Seconds of each training step after a first one that warms up; none for `steps` = 0."""
    if steps == 0:
        return []
    optimizer, average = Adam(list(model.parameters()), (0.9, 0.999)), ExponentialMovingAverage(model, 0.9999)
    times = []
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    for _ in range(steps + 1):
        wait()
        start = time.perf_counter()
        loss().backward()
        optimizer.step(1e-4)
        average.update()
        wait()
        times.append(time.perf_counter() - start)
    return times[1:]


def verdict(rows: dict[str, Measured], batch: int) -> str:
    """What is true of the hope, in a sentence or two."""
    ho = rows["Ho"]
    both = [
        name
        for name, row in rows.items()
        if row.parameters <= 0.2 * ho.parameters and row.peak <= 0.4 * ho.peak and "inverted" in name
    ]
    same_width = [name for name in both if "128 channels" in name]
    plain = [name for name in both if "checkpointing" not in name]
    return (
        f"batch {batch}: -80 % parameters and -60 % peak memory together: {', '.join(both) or 'no design'}. "
        f"Of these without checkpointing: {', '.join(plain) or 'none'}; at Ho et al.'s width: "
        f"{', '.join(same_width) or 'none'}."
    )


def main() -> None:
    """Print a table for each batch size, and the verdict."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch", type=int, nargs="+", default=[8, 32, 128])
    parser.add_argument("--steps", type=int, default=0, help="timed steps; 0 measures memory alone")
    options = parser.parse_args()
    on = torch.cuda.get_device_name() if torch.device(options.device).type == "cuda" else "CPU, peak estimated"
    print(f"{on}; torch {torch.__version__}, float32, 32x32; differences are to the Ho U-Net")
    for batch in options.batch:
        rows: dict[str, Measured] = {}
        print(f"\nbatch {batch}\n{'design':44}{'parameters':>22}{'saved MiB':>18}{'peak MiB':>18}{'ms/step':>16}")
        for name, config in designs().items():
            rows[name] = row = measure(config, batch, options.device, options.steps)
            ho = rows["Ho"]
            cells = [
                ("-" if value != value else f"{value:,.{digits}f} ({100 * (value / base - 1):+.0f} %)").rjust(width)
                for value, base, digits, width in (
                    (row.parameters, ho.parameters, 0, 22),
                    (row.saved / 2**20, ho.saved / 2**20, 1, 18),
                    (row.peak / 2**20, ho.peak / 2**20, 1, 18),
                    (row.step_ms, ho.step_ms, 1, 16),
                )
            ]
            print(f"{name:44}{''.join(cells)}", flush=True)
        print(verdict(rows, batch))


if __name__ == "__main__":
    main()
