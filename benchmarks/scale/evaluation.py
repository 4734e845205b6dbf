"""What scoring 50,000 images takes beside the feature network: seconds of the processor and the most memory held.

The whole path of an FID, by the command line: reading, statistics of the training images, features, moments, kernel
distance, Inception score. In the place of Inception-v3's published weights stands a TorchScript file of the same form
whose layers cost next to nothing; all around it, its resizing to 299×299 included, is real. Images are random.

    python -m benchmarks.scale.evaluation
"""

import argparse
import io
import os
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from benchmarks.reliability.project import scratch
from benchmarks.scale import RESULTS, record
from PIL import Image
from tests.evaluation.test_inception import StandIn

from rediffuse.evaluation.streaming import KEEP
from rediffuse.files import sha256


def timed(words: list[str], folder: Path) -> dict[str, float]:
    """Run a command of `rediffuse`; its seconds by the clock and of the processor, and the most bytes it held."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    began = time.monotonic()
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "rediffuse", *words], cwd=folder, env=environment, stdout=log, stderr=log
        )
        _, status, used = os.wait4(process.pid, 0)
    assert status == 0, (folder / "log").read_text()[-2000:]
    return {
        "seconds": time.monotonic() - began,
        "cpu": used.ru_utime + used.ru_stime,
        "peak bytes": used.ru_maxrss * 1024,
    }


def array(path: Path, images: np.ndarray) -> None:
    """Write an .npy file."""
    np.save(path, images)


def pictures(path: Path, images: np.ndarray) -> None:
    """Write a zip of PNG files."""
    with zipfile.ZipFile(path, "w") as archive:
        for number, image in enumerate(images):
            png = io.BytesIO()
            Image.fromarray(image.transpose(1, 2, 0)).save(png, "PNG", compress_level=1)
            archive.writestr(f"{number:06d}.png", png.getvalue())


FORMS: dict[str, Callable[[Path, np.ndarray], None]] = {"npy": array, "zip": pictures}


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, nargs="*", default=[5_000, 50_000], help="numbers of images")
    parser.add_argument("--side", type=int, default=32, help="of the images, in pixels")
    parser.add_argument("--folder", type=Path, default=Path("state/scale-evaluation"), help="new, deleted at the end")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the figures are written")
    options = parser.parse_args(words)
    began, random = time.monotonic(), np.random.default_rng(0)
    torch.manual_seed(0)
    with scratch(options.folder) as folder:
        torch.jit.script(StandIn()).save(str(folder / "stand-in.pt"))
        network = ["--features", "inception-v3", "--weights", "stand-in.pt"]
        network += ["--weights-sha256", sha256(folder / "stand-in.pt")]
        found: dict[str, Any] = {"side": options.side, "kept": KEEP, "counts": {}}
        for count in options.images:
            shape = (count, 3, options.side, options.side)
            for form, write in FORMS.items():
                write(folder / f"images.{form}", random.integers(0, 256, shape, dtype=np.uint8))
            steps = {
                "statistics": ["statistics", "--images", "images.npy", "--output", "reference.npz", *network],
                "scores": ["evaluate", "--samples", "images.npy", "--reference", "reference.npz", *network],
                "scores of a zip": ["evaluate", "--samples", "images.zip", "--reference", "reference.npz", *network],
            }
            found["counts"][str(count)] = at = {}
            for name, command in steps.items():
                at[name] = timed(command, folder)
                print(count, name, at[name], flush=True)
                record("evaluation", "evaluation", options.results, began, found)


if __name__ == "__main__":
    main()
