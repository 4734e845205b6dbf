"""What precision, compiling, memory order, batch size and a smaller network each buy on this machine.

    python benchmarks/what_it_buys.py [--preset tiny-digits] [--smaller micro-digits] [--batch 64] [--device cuda]

Each variant changes one thing of the base: float32, eager, contiguous, `--batch` images, the whole network. Forward
passes without gradients and training passes (forward and backward) take turns with those of the base; the table holds,
for each pair, how many times as many images a second the variant does: median and quartiles over the rounds. A ratio
above 1 is a gain.
"""

import argparse
import statistics
import sys

import torch

from rediffuse.cost.timing import Job, inference_pass, interleaved, training_passes
from rediffuse.models.presets import preset
from rediffuse.models.unet import build_unet


def jobs(
    options: argparse.Namespace,
    *,
    name: str,
    batch: int,
    bfloat16: bool = False,
    compiled: bool = False,
    channels_last: bool = False,
) -> dict[str, Job]:
    config, layout = preset(name), torch.channels_last if channels_last else torch.contiguous_format
    network = build_unet(config, seed=0).to(options.device).to(memory_format=layout)
    if compiled:
        network.compile(dynamic=False)
    x = torch.randn(batch, config.in_channels, config.image_size, config.image_size, device=options.device)
    x = x.contiguous(memory_format=layout)
    return {
        "inference": inference_pass(network, x, bfloat16=bfloat16),
        "training": training_passes(network, x, bfloat16=bfloat16),
    }


def seconds_an_image(parts: dict[str, list[float]], batch: int) -> list[float]:
    return [sum(values) / batch for values in zip(*parts.values(), strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="tiny-digits")
    parser.add_argument("--smaller", default="micro-digits")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--no-compile", action="store_true")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    base = {"name": options.preset, "batch": options.batch}
    variants: dict[str, dict[str, object]] = {
        "base": base,
        "bfloat16 autocast": base | {"bfloat16": True},
        "channels_last": base | {"channels_last": True},
        "torch.compile": base | {"compiled": True},
        "batch 1": base | {"batch": 1},
        f"batch {4 * options.batch}": base | {"batch": 4 * options.batch},
        f"network {options.smaller}": base | {"name": options.smaller},
    }
    if options.no_compile:
        del variants["torch.compile"]
    made: dict[str, Job] = {}
    for label, variant in variants.items():
        print(f"preparing {label}", file=sys.stderr)
        made |= {f"{kind}/{label}": job for kind, job in jobs(options, **variant).items()}  # type: ignore[arg-type]
    found = interleaved(made, repeats=options.rounds, warmup=3)

    where = torch.cuda.get_device_name() if options.device == "cuda" else f"CPU, {options.threads} thread(s)"
    print(f"{options.preset}, batch {options.batch}, {where}, {options.rounds} rounds, torch {torch.__version__}\n")
    print("| variant | inference, ms/image | gain | training, ms/image | gain |\n|---|---|---|---|---|")
    for label, variant in variants.items():
        cells = []
        for kind in ("inference", "training"):
            mine = seconds_an_image(found[f"{kind}/{label}"], int(str(variant["batch"])))
            theirs = seconds_an_image(found[f"{kind}/base"], options.batch)
            low, middle, high = statistics.quantiles([b / a for a, b in zip(mine, theirs, strict=True)], n=4)
            cells += [f"{1e3 * statistics.median(mine):.3g}", f"{middle:.2f} ({low:.2f}–{high:.2f})"]
        print(f"| {label} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
