"""Precision, recall, density and coverage: images scored a second, and memory beside the features.

    python benchmarks/manifold.py [--dim 2048] [--reference 10000] [--images 5000] [--repeats 3]

Prints seconds for the real radii (once for a reference) and for a set of samples, images/s with its spread, and the
resident memory that was added at most. With as many numbers as that the time is one float64 matrix product's.
"""

import argparse
import json
import resource
import sys
import time

import numpy as np

from rediffuse.evaluation.manifold import ManifoldReference


def peak_mib() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024 * 1024 if sys.platform == "darwin" else 1024)


def measure(dim: int, reference: int, images: int, repeats: int) -> dict[str, object]:
    random = np.random.default_rng(0)
    real = random.normal(size=(reference, dim)).astype(np.float32)
    samples = random.normal(size=(images, dim)).astype(np.float32)
    before = peak_mib()
    start = time.perf_counter()
    manifold = ManifoldReference(real)
    radii_s = time.perf_counter() - start
    rates = []
    for repeat in range(repeats):
        start = time.perf_counter()
        scores = manifold.score(samples)
        rates.append(images / (time.perf_counter() - start))
        print(f"run {repeat + 1} of {repeats}: {rates[-1]:.0f} images/s", file=sys.stderr)
    return {
        "dim": dim,
        "reference_images": reference,
        "images": images,
        "real_radii_s": round(radii_s, 2),
        "images_per_s": {
            "median": round(float(np.median(rates))),
            "lowest": round(min(rates)),
            "highest": round(max(rates)),
        },
        "peak_memory_added_mib": round(peak_mib() - before),
        "float64_features_mib": round((real.size + 2 * samples.size) * 8 / 2**20),
        "density": scores.density,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dim", type=int, default=2048)
    parser.add_argument("--reference", type=int, default=10_000)
    parser.add_argument("--images", type=int, default=5_000)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    print(json.dumps(measure(arguments.dim, arguments.reference, arguments.images, arguments.repeats), indent=2))


if __name__ == "__main__":
    main()
