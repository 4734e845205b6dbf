"""What forward and backward passes of the networks take on a GPU: `python -m benchmarks.scale.gpu`."""

import argparse
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from benchmarks.scale import RESULTS, record
from benchmarks.scale.networks import NETWORKS

from rediffuse.cost.study import inputs, on_device
from rediffuse.cost.timing import Passes, Spread, inference_pass, interleaved, training_passes
from rediffuse.hardware import Hardware
from rediffuse.models.unet import UNet

#: Images in a batch of training, as in the papers; and of sampling, as in the studies of this project.
TRAINING, SAMPLING = 128, 500
HARDWARE = Hardware(device="cuda", precision="bfloat16", channels_last=True)


def passes(name: str, compiled: bool) -> dict[str, Any]:
    """Seconds of a network's passes, κ, and the peak memory of training."""
    torch.compiler.reset()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    config = NETWORKS[name]
    network = on_device(UNet(config), HARDWARE)
    if compiled:
        network.compile(dynamic=False)
    job = training_passes(network, *inputs(config, TRAINING, HARDWARE), bfloat16=True)
    training = interleaved({"one": job}, repeats=12, warmup=3)["one"]
    held = torch.cuda.max_memory_allocated()
    job = inference_pass(network, *inputs(config, SAMPLING, HARDWARE), bfloat16=True)
    sampling = interleaved({"one": job}, repeats=12, warmup=3)["one"]["forward"]
    return {
        "training": asdict(Passes.of(TRAINING, training)),
        "sampling": {"batch": SAMPLING, "forward": Spread.of(sampling).record()},
        "peak bytes": held,
    }


def matrix_rate(side: int = 8192) -> float:
    """FLOP/s of a bfloat16 matrix product: what can be had of the card's peak."""
    a, b = (torch.randn(side, side, device="cuda", dtype=torch.bfloat16) for _ in range(2))

    def job() -> dict[str, float]:
        torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(10):
            a @ b
        torch.cuda.synchronize()
        return {"seconds": time.perf_counter() - start}

    seconds = interleaved({"one": job}, repeats=5, warmup=2)["one"]["seconds"]
    return 10 * 2 * side**3 / Spread.of(seconds).median


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the figures are written")
    parser.add_argument("--minutes", type=float, default=60, help="compile no further network after so many")
    options = parser.parse_args(words)
    began = time.monotonic()
    torch.backends.cudnn.deterministic = True  # as jobs have it
    found: dict[str, Any] = {"matrix rate": matrix_rate(), "eager": {}, "compiled": {}}
    for way in ("eager", "compiled"):
        for name in NETWORKS:
            if way == "eager" or time.monotonic() - began < 60 * options.minutes:
                found[way][name] = passes(name, compiled=way == "compiled")
                record("gpu", "gpu", options.results, began, found, "cuda")
                print(f"{way} {name}: {time.monotonic() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main()
