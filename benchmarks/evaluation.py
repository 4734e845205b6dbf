"""Scoring a folder of PNGs: ours against clean-fid and, where it is installed, torch-fidelity; all in one run.

    python benchmarks/evaluation.py [--images 64] [--repeats 3] [--mode legacy_tensorflow] [--dim 2048]

Every tool decodes the same PNGs, runs the same network file on the CPU with the same number of threads and computes a
Fréchet distance to the same reference moments; ours also computes its other metrics and the digest of the images. The
network has the architecture of Inception-v3 and random weights, in the form of the published file: the times are those
of the real one, the distances mean nothing beyond that all tools find the same. Then the distance alone is timed on
moments of --dim dimensions. Ratios are of times taken one after another in the same repeat; where other work shares the
machine, those of processor time (all threads and workers) say more than those of the clock.
"""

import argparse
import contextlib
import importlib.util
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cleanfid.fid
import numpy as np
import torch
import torchvision
from cleanfid.inception_torchscript import InceptionV3W
from PIL import Image

from rediffuse.evaluation.frechet import FrechetReference, moments
from rediffuse.files import sha256
from rediffuse.loose.images import NetworkChoice, Reading, evaluate_images

CPU = torch.device("cpu")
WORKERS = os.cpu_count() or 1


class StandIn(torch.nn.Module):
    """Inception-v3 of torchvision with random weights, with the attributes, arguments and resizing of the published
    TorchScript file.
    """

    def __init__(self) -> None:
        super().__init__()
        network = torchvision.models.inception_v3(
            weights=None, aux_logits=False, transform_input=False, init_weights=False
        )
        network.fc = torch.nn.Identity()
        self.layers = torch.jit.trace(network.eval(), torch.zeros(2, 3, 299, 299))
        self.output = torch.nn.Linear(2048, 1008)

    def forward(self, img: torch.Tensor, return_features: bool = False) -> torch.Tensor:
        """Features [B, 2048] or class probabilities [B, 1008] of images [B, 3, H, W], values 0..255."""
        batch, channels, height, width = img.shape
        theta = torch.eye(2, 3)
        theta[0, 2] += theta[0, 0] / width - theta[0, 0] / 299
        theta[1, 2] += theta[1, 1] / height - theta[1, 1] / 299
        theta = theta.unsqueeze(0).repeat([batch, 1, 1])
        grid = torch.nn.functional.affine_grid(theta, [batch, channels, 299, 299], align_corners=False)
        x = torch.nn.functional.grid_sample(
            img.to(torch.float32), grid, mode="bilinear", padding_mode="border", align_corners=False
        )
        features = self.layers((x - 128) / 128).reshape(-1, 2048)
        return features if return_features else torch.softmax(self.output(features), dim=1)


def timed(function: Callable[[], float]) -> tuple[float, float, float]:
    """Seconds by the clock, seconds of processor time with that of child processes, and the function's value."""
    # Other tools print to stdout, which is for the result.
    with contextlib.redirect_stdout(sys.stderr):
        start, before = time.perf_counter(), sum(os.times()[:4])
        value = function()
        return time.perf_counter() - start, sum(os.times()[:4]) - before, value


def ours(folder: Path, weights: Path, mode: str, reference: Path, batch: int) -> float:
    name = {"legacy_tensorflow": "inception-v3", "clean": "inception-v3-clean"}[mode]
    choice = NetworkChoice(name, weights, sha256(weights))
    record = evaluate_images(folder, str(reference), choice, Reading(batch_size=batch))
    return record["metrics"]["frechet_distance"]["value"]


def clean_fid(folder: Path, weights: Path, mode: str, reference: Path, batch: int) -> float:
    model = InceptionV3W(str(weights.parent), download=False, resize_inside=mode == "legacy_tensorflow").eval()
    features = cleanfid.fid.get_folder_features(
        str(folder), model, num_workers=WORKERS, batch_size=batch, device=CPU, mode=mode, verbose=False
    )
    with np.load(reference) as file:
        moments_of_reference = file["mu"], file["sigma"]
    return cleanfid.fid.frechet_distance(features.mean(0), np.cov(features, rowvar=False), *moments_of_reference)


def torch_fidelity(folder: Path, weights: Path, mode: str, reference: Path, batch: int) -> float:
    from torch_fidelity.feature_extractor_base import FeatureExtractorBase
    from torch_fidelity.metric_fid import fid_input_id_to_statistics, fid_statistics_to_metric

    class Extractor(FeatureExtractorBase):
        def __init__(self) -> None:
            super().__init__("stand-in", ["2048"])
            self.base = torch.jit.load(str(weights)).eval()

        @staticmethod
        def get_provided_features_list() -> tuple[str]:
            """The one layer there is."""
            return ("2048",)

        def forward(self, images: torch.Tensor) -> tuple[torch.Tensor]:
            """Its features of uint8 images."""
            return (self.base(images, return_features=True),)

    found = fid_input_id_to_statistics(
        1, Extractor(), "2048", input1=str(folder), batch_size=batch, cuda=False, cache=False, verbose=False
    )
    with np.load(reference) as file:
        statistics = {"mu": file["mu"].astype(found["mu"].dtype), "sigma": file["sigma"].astype(found["sigma"].dtype)}
    return float(fid_statistics_to_metric(found, statistics, False)["frechet_inception_distance"])


def tools(mode: str) -> dict[str, Callable[..., float]]:
    found: dict[str, Callable[..., float]] = {"rediffuse": ours, "clean-fid": clean_fid}
    # torch-fidelity knows no Pillow resizing.
    if importlib.util.find_spec("torch_fidelity") and mode == "legacy_tensorflow":
        found["torch-fidelity"] = torch_fidelity
    return found


def summary(times: dict[str, list[float]], first: str = "rediffuse") -> dict[str, dict[str, float]]:
    """Each tool's time over ours, repeat by repeat."""
    ratios = {name: np.array(seconds) / np.array(times[first]) for name, seconds in times.items() if name != first}
    return {
        f"{name} over {first}": {
            "median": round(float(np.median(ratio)), 2),
            "lowest": round(float(ratio.min()), 2),
            "highest": round(float(ratio.max()), 2),
        }
        for name, ratio in ratios.items()
    }


def compare(named: dict[str, Callable[[], float]], repeats: int) -> dict[str, Any]:
    """Times of each tool, repeat by repeat in turn, their ratios, and what each found."""
    clock: dict[str, list[float]] = {name: [] for name in named}
    processor: dict[str, list[float]] = {name: [] for name in named}
    values = {}
    for repeat in range(repeats):
        for name, function in named.items():
            seconds, busy, values[name] = timed(function)
            clock[name].append(seconds)
            processor[name].append(busy)
            line = f"repeat {repeat + 1} of {repeats}: {name} {seconds:.2f} s, {busy:.2f} s of processor time"
            print(line, file=sys.stderr)
    return {
        "seconds": {name: [round(value, 2) for value in row] for name, row in clock.items()},
        "ratios_of_seconds": summary(clock),
        "processor_seconds": {name: [round(value, 2) for value in row] for name, row in processor.items()},
        "ratios_of_processor_seconds": summary(processor),
        "distances": values,
    }


def end_to_end(images: int, side: int, repeats: int, mode: str, batch: int) -> dict[str, object]:
    random = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        (work / "pictures").mkdir()
        for position in range(images):
            pixels = random.integers(0, 256, (side, side, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(work / "pictures" / f"{position:05d}.png")
        weights, reference = work / "inception-2015-12-05.pt", work / "reference.npz"
        torch.manual_seed(0)
        torch.jit.script(StandIn().eval()).save(str(weights))
        mu, sigma = moments(random.normal(0.3, 0.1, (4096, 2048)))
        np.savez(reference, mu=mu, sigma=sigma)
        arguments = (work / "pictures", weights, mode, reference, batch)
        named = {name: lambda tool=tool: tool(*arguments) for name, tool in tools(mode).items()}
        found = compare(named, repeats)
    rates = {name: [round(images / value, 2) for value in row] for name, row in found["seconds"].items()}
    return {"images": images, "side": side, "mode": mode, "images_per_s": rates, **found}


def distance_alone(dim: int, repeats: int) -> dict[str, object]:
    """Two sets of 2 × dim features whose spectrum falls over three decades; the reference is given as moments."""
    scales = np.geomspace(1.0, 1e-3, dim) ** 0.5
    first, second = (np.random.default_rng(seed).normal(size=(2 * dim, dim)) * scales for seed in (0, 1))
    (mu1, sigma1), (mu2, sigma2) = moments(first), moments(second)
    named: dict[str, Callable[[], float]] = {
        "rediffuse": lambda: FrechetReference(mu2, sigma2).distance_to_moments(mu1, sigma1),
        "clean-fid": lambda: float(cleanfid.fid.frechet_distance(mu1, sigma1, mu2, sigma2)),
    }
    if importlib.util.find_spec("torch_fidelity"):
        from torch_fidelity.metric_fid import fid_statistics_to_metric

        one, two = {"mu": mu1, "sigma": sigma1}, {"mu": mu2, "sigma": sigma2}
        named["torch-fidelity"] = lambda: float(fid_statistics_to_metric(one, two, False)["frechet_inception_distance"])
    return {"dim": dim, **compare(named, repeats)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--side", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--mode", choices=["legacy_tensorflow", "clean"], default="legacy_tensorflow")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--dim", type=int, default=2048)
    arguments = parser.parse_args()
    result = {
        "threads": torch.get_num_threads(),
        "decoding_workers": WORKERS,
        "end_to_end": end_to_end(
            arguments.images, arguments.side, arguments.repeats, arguments.mode, arguments.batch_size
        ),
        "distance": distance_alone(arguments.dim, arguments.repeats),
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
