"""What the networks' passes take on a GPU, and a training and a sampling through the pipeline: needs no DVC and no tests.

python -m benchmarks.scale.gpu --minutes 4
"""

import argparse
import csv
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from benchmarks.scale import RESULTS, record
from benchmarks.scale.networks import NETWORKS
from PIL import Image

import rediffuse
from rediffuse.cost.study import inputs, on_device
from rediffuse.cost.timing import Passes, Spread, inference_pass, interleaved, training_passes
from rediffuse.files import read_json
from rediffuse.hardware import Hardware
from rediffuse.models.unet import UNet

#: Images in a batch of training, as in the papers; and of sampling, as in the studies of this project.
TRAINING, SAMPLING = 128, 500
HARDWARE = Hardware(device="cuda", precision="bfloat16", channels_last=True)
STUDY = """\
study: gpu
title: Random pictures through the pipeline on a GPU
data: {name: random, source: folder, path: random, image_size: 32}
tracking: {enabled: false}
hardware: {device: cuda, precision: bfloat16, channels_last: true, compile: true}
evaluation: {features: efficientnet-lite0, group_size: 100, groups: 2, likelihood_images: 2}
seeds: [0]
defaults:
  network: {preset: ho-cifar10}
  training: {steps: 800, warmup: 100, learning_rate: 2e-4, ema_warmup: true, batch_size: 128, log_every: 100, preview_steps: [800], checkpoint_every: 800}
  sampling:
    images: 1000
    batch_size: 500
    samplers: {ancestral: {steps: [10, 100]}}
runs:
  baseline: {role: baseline}
"""


def passes(name: str, compiled: bool) -> dict[str, Any]:
    """Seconds of a network's passes, κ, and the peak memory of training."""
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


def through_the_pipeline() -> dict[str, Any]:
    """Images a second of a training, and seconds of a sampling, after what is compiled has been."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "random").mkdir()
        for number, pixels in enumerate(np.random.default_rng(0).integers(0, 256, (1000, 32, 32, 3), np.uint8)):
            Image.fromarray(pixels).save(folder / "random" / f"{number:04}.png")
        (folder / "params.yaml").write_text(STUDY)
        source = {**os.environ, "PYTHONPATH": str(Path(rediffuse.__file__).parents[1])}
        for words in (["prepare"], ["train", "baseline"], ["sample", "baseline"]):
            command = [sys.executable, "-m", "rediffuse", *words]
            done = subprocess.run(command, cwd=folder, env=source, capture_output=True, text=True)
            if done.returncode:
                return {"failed": words[0], "why": done.stderr.strip().splitlines()[-1][:300]}
        timing = folder / "runs/gpu/baseline/seed0/timing"
        rows = list(csv.DictReader((timing / "throughput.csv").open()))
        return {
            "throughput": rows,
            "train": read_json(timing / "train.json"),
            "sample": read_json(timing / "sample.json"),
        }


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the figures are written")
    parser.add_argument("--minutes", type=float, default=60, help="compile no further network after so many")
    options = parser.parse_args(words)
    began = time.monotonic()
    torch.backends.cudnn.deterministic = True  # as jobs have it
    found: dict[str, Any] = {"matrix rate": matrix_rate(), "eager": {}, "compiled": {}}

    def keep() -> None:
        record("gpu", options.results, began, found, "cuda")
        print(f"{time.monotonic() - began:.0f} s", *(f"{k}: {len(v)}" for k, v in found.items() if k != "matrix rate"))

    for name in NETWORKS:
        found["eager"][name] = passes(name, compiled=False)
    keep()
    found["pipeline"] = through_the_pipeline()
    keep()
    for name in NETWORKS:
        if time.monotonic() - began < 60 * options.minutes:
            found["compiled"][name] = passes(name, compiled=True)
            keep()


if __name__ == "__main__":
    main()
