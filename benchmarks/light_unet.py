"""Light U-Nets beside Ho et al.'s at 32×32: parameters, memory of a training step and its time.

Document D0 hopes that depthwise-separable blocks save 80 % of the parameters and 60 % of the memory. Each row is a
design; the columns say which of the two it reaches, and the last line says what is true. Bytes are counted on fake
tensors (`rediffuse.cost.memory`), so that a table of memory alone takes none; where steps are timed on a GPU, the peak
is what the allocator handed out. A design whose step would need more than --memory-limit is skipped.

What it finds: at Ho et al.'s width no light design saves 80 % of the parameters, and without checkpointing expanded
blocks hold more activations, not fewer (expansion 2: +57 %, 6: +263 %). At 96 channels and expansion 2, the preset
light-cifar10, -82 % of the parameters cost +18 % of the activations; checkpointing brings its peak to -74 % at batch
32. Checkpointing alone gives the Ho network -47 % there, and -61 % at batch 128.

    python benchmarks/light_unet.py
    python benchmarks/light_unet.py --batch 8 --steps 3
    python benchmarks/light_unet.py --device cuda --batch 32 128 --steps 20 --memory-limit 70
"""

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from rediffuse.cost.memory import peak_training_bytes, saved_for_backward
from rediffuse.models import PRESETS, UNet, UNetConfig
from rediffuse.training.adam import Adam
from rediffuse.training.ema import ExponentialMovingAverage

HO = PRESETS["ho-cifar10"]
# Field of `Measured`, unit, decimals and width of the columns.
COLUMNS = (("parameters", 1, 0, 22), ("saved", 2**20, 1, 18), ("peak", 2**20, 1, 18), ("step_ms", 1, 1, 17))


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
    step_ms: float = float("nan")


def training_pass(config: UNetConfig, batch: int, device: str = "cpu") -> tuple[UNet, Callable[[], Tensor]]:
    """A fresh network and its loss on noise."""
    with torch.device(device):
        model = UNet(replace(config, initialisation="torch")).train()  # no weight is looked at
        x = torch.randn(batch, config.in_channels, config.image_size, config.image_size)
        t = torch.randint(0, 1000, (batch,))
    return model, lambda: (model(x, t) - x).square().mean()


def predict(config: UNetConfig, batch: int) -> Measured:
    """What is known of a training step without running it."""
    with FakeTensorMode():
        model, loss = training_pass(config, batch)
        count = sum(p.numel() for p in model.parameters())
        return Measured(count, saved_for_backward(model, loss), peak_training_bytes(model, loss))


def measure(predicted: Measured, config: UNetConfig, batch: int, device: str, steps: int) -> Measured:
    """`predicted`, with what is known of a few training steps once they have run."""
    cuda = torch.device(device).type == "cuda"
    model, loss = training_pass(config, batch, device)
    times = time_steps(model, loss, steps, torch.cuda.synchronize if cuda else lambda: None)
    peak = torch.cuda.max_memory_allocated() if cuda else predicted.peak
    return replace(predicted, peak=peak, step_ms=1000 * statistics.median(times))


def time_steps(model: UNet, loss: Callable[[], Tensor], steps: int, wait: Callable[[], object]) -> list[float]:
    """Seconds of each training step after a first one that warms up."""
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


def cell(row: Measured, ho: Measured | None, field: str, unit: int, digits: int, width: int) -> str:
    """A number of a row, and by how much it differs from that of the Ho U-Net, unless that was skipped."""
    value = getattr(row, field)
    difference = "" if ho is None else f" ({100 * (value / getattr(ho, field) - 1):+.0f} %)"
    return ("-" if value != value else f"{value / unit:,.{digits}f}{difference}").rjust(width)


def verdict(rows: dict[str, Measured], batch: int) -> str:
    """What is true of the hope, in a sentence or two."""
    if (ho := rows.get("Ho")) is None:
        return f"batch {batch}: nothing to compare with, since the Ho U-Net was skipped."
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
    parser.add_argument("--memory-limit", type=float, default=4.0, help="GiB that a timed step may need")
    options = parser.parse_args()
    on = torch.cuda.get_device_name() if torch.device(options.device).type == "cuda" else "CPU, peak estimated"
    print(f"{on}; torch {torch.__version__}, float32, 32x32; differences are to the Ho U-Net")
    for batch in options.batch:
        rows: dict[str, Measured] = {}
        print(f"\nbatch {batch}\n{'design':44}{'parameters':>22}{'saved MiB':>18}{'peak MiB':>18}{'ms/step':>17}")
        for name, config in designs().items():
            row = predict(config, batch)
            if options.steps:
                if row.peak > options.memory_limit * 2**30:
                    print(f"{name:44}skipped: needs {row.peak / 2**30:.1f} GiB, over --memory-limit", flush=True)
                    continue
                row = measure(row, config, batch, options.device, options.steps)
            rows[name] = row
            print(f"{name:44}{''.join(cell(row, rows.get('Ho'), *column) for column in COLUMNS)}", flush=True)
        print(verdict(rows, batch))


if __name__ == "__main__":
    main()
