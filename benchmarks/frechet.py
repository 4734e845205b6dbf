"""The trace term of the Fréchet distance: ours against `scipy.linalg.sqrtm`, in one run.

    python benchmarks/frechet.py [--dim 2048] [--repeats 3]

Prints seconds, the ratio of each pair of timings with its spread, and how far the two results differ. The seconds are
of the processor, all threads together, so that another program on the machine does not distort the ratio: for seconds
of the clock, run with OMP_NUM_THREADS=1 on a quiet machine, where the two are the same.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable

import numpy as np
import scipy.linalg

from rediffuse.evaluation.frechet import FrechetReference, moments, trace_sqrt_product


def timed(function: Callable[[], float]) -> tuple[float, float]:
    start = time.process_time()
    value = function()
    return time.process_time() - start, value


def features(count: int, dim: int, seed: int) -> np.ndarray:
    """Features whose covariance has a spectrum that falls over three decades, as those of a network do."""
    random = np.random.default_rng(seed)
    scales = np.geomspace(1.0, 1e-3, dim) ** 0.5
    mixing = np.linalg.qr(np.random.default_rng(1000 + seed).normal(size=(dim, dim)))[0]
    return (random.normal(size=(count, dim)) * scales) @ mixing


def measure(dim: int, repeats: int) -> dict[str, object]:
    first, second = features(5 * dim, dim, 0), features(5 * dim, dim, 1)
    (_, sigma1), (mu2, sigma2) = moments(first), moments(second)
    rows = []
    for repeat in range(repeats):
        ours_s, ours = timed(lambda: trace_sqrt_product(sigma1, sigma2))
        sqrtm_s, theirs = timed(lambda: float(np.trace(scipy.linalg.sqrtm(sigma1 @ sigma2)).real))
        rows.append((ours_s, sqrtm_s, sqrtm_s / ours_s, abs(ours - theirs) / theirs))
        print(f"pair {repeat + 1} of {repeats}: ours {ours_s:.2f} s, sqrtm {sqrtm_s:.2f} s", file=sys.stderr)
    reference = FrechetReference(mu2, sigma2)
    few_s, _ = timed(lambda: reference.distance(first[: dim // 4]))
    ours_s, sqrtm_s, ratio, difference = (np.array(column) for column in zip(*rows, strict=True))
    return {
        "dim": dim,
        "repeats": repeats,
        "ours_s": [round(float(value), 3) for value in ours_s],
        "sqrtm_s": [round(float(value), 3) for value in sqrtm_s],
        "sqrtm_over_ours": {
            "median": round(float(np.median(ratio)), 1),
            "lowest": round(float(ratio.min()), 1),
            "highest": round(float(ratio.max()), 1),
        },
        "relative_difference": float(difference.max()),
        f"whole_distance_of_{dim // 4}_images_s": round(few_s, 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dim", type=int, default=2048)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    print(json.dumps(measure(arguments.dim, arguments.repeats), indent=2))


if __name__ == "__main__":
    main()
