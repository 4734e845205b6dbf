"""LPIPS diversity of a model's samples and of held-out images, where a study names the weights for it."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from rediffuse.config.sections import Evaluation, Hardware
from rediffuse.evaluation.intervals import grouped
from rediffuse.evaluation.lpips import LpipsDistance
from rediffuse.files import sha256
from rediffuse.progress import Progress

#: Images of a group that are compared, all with all: the mean over pairs does not depend on their number.
MOST = 100


def lpips_diversity(
    evaluation: Evaluation, hardware: Hardware, root: Path, samples: np.ndarray, held_out: np.ndarray, label: str
) -> dict[str, Any] | None:
    """Mean LPIPS over all pairs of the first `MOST` images of each group of samples, and of held-out images likewise.

    samples, held_out: uint8 [N, C, H, W], groups one after another as they are scored; of held-out images as many
    groups as there are. Gives the network, size, digests of weights and an `Estimate` of each; None without
    `evaluation.lpips`. Raises UserError when a file holds other weights.
    """
    asked = evaluation.lpips
    if asked is None:
        return None
    files = {"weights": root / asked.weights} | ({"heads": root / asked.heads} if asked.heads else {})
    measure = LpipsDistance(
        asked.network, files["weights"], files.get("heads"), size=asked.size, device=hardware.device
    )
    n = evaluation.group_size
    compared = min(n, MOST)
    record: dict[str, Any] = {
        "network": asked.network,
        "size": asked.size,
        **{f"{name}_sha256": sha256(path) for name, path in files.items()},
    }
    # As for feature networks: TF32 would round maps to ten bits on recent GPUs.
    exact = torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)
    sets = {"samples": samples, "held_out": held_out}
    counts = {name: min(evaluation.groups, len(images) // n) for name, images in sets.items()}
    done, total = 0, compared * sum(counts.values())
    with Progress(label, "image") as progress, exact:
        for name, images in sets.items():
            values = []
            for start in range(0, counts[name] * n, n):
                values.append(measure.diversity(images[start : start + compared]))
                done += compared
                progress(done, total)
            record[name] = grouped(values, compared).to_dict()
    return record
