"""Feature networks behind one interface: images in, features and class probabilities out."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from rediffuse.download import OnProgress
from rediffuse.errors import UserError, one_line
from rediffuse.evaluation.feature_networks import FEATURE_NETWORKS
from rediffuse.registry import load
from rediffuse.weights import check_finite

# Batches are padded to a multiple of this many images, because convolutions choose another algorithm for a handful of
# images and round differently: with the padding, features do not depend on the batch size.
BATCH_MULTIPLE = 32


@dataclass(frozen=True, eq=False)
class Features:
    """What a feature network says of N images.

    features: float32 [N, dim]; probabilities: float32 [N, K] over the network's classes, or None where it has none;
    network, resize and weights_sha256: what a reference must share with them to be comparable.
    """

    features: np.ndarray
    probabilities: np.ndarray | None
    network: str
    resize: str
    weights_sha256: str | None = None

    def __post_init__(self) -> None:
        if self.features.ndim != 2:
            raise ValueError(f"features must be [N, dim], not {self.features.shape}")
        for name, values in (("features", self.features), ("class probabilities", self.probabilities)):
            if values is not None and not np.isfinite(values).all():
                raise UserError(
                    f"{name} of {self.network} hold NaN or infinity, which would be scored; mend the network"
                )
        if self.probabilities is not None and len(self.probabilities) != len(self.features):
            raise ValueError(f"there are {len(self.features)} features and {len(self.probabilities)} probabilities")

    def __len__(self) -> int:
        return len(self.features)

    def __getitem__(self, chosen: slice | np.ndarray) -> "Features":
        """The features of some of the images (a slice or an array of positions)."""
        probabilities = None if self.probabilities is None else self.probabilities[chosen]
        return replace(self, features=self.features[chosen], probabilities=probabilities)


def joined(parts: Sequence[Features]) -> Features:
    """The features of images that came in parts, in their order; at least one."""
    probabilities = [part.probabilities for part in parts if part.probabilities is not None]
    return replace(
        parts[0],
        features=np.concatenate([part.features for part in parts]),
        probabilities=np.concatenate(probabilities) if probabilities else None,
    )


class FeatureNetwork(Protocol):
    """A frozen network that turns images into features.

    name: names the network in files and reports; dim: length of a feature vector; resize: how images are brought to the
    network's size, in words; card: weights, their SHA-256 and the whole preprocessing.
    """

    name: str
    dim: int
    resize: str
    card: dict[str, Any]

    def extract(
        self, images: np.ndarray | torch.Tensor, batch_size: int = 32, progress: OnProgress | None = None
    ) -> Features:
        """Features of uint8 images [N, C, H, W] (C = 1 is repeated to RGB), batch by batch.

        `progress(done, total)` is called after each batch. The result does not depend on `batch_size` (to 1e-5).
        """
        ...


@dataclass(frozen=True)
class FeatureOptions:
    """Choices for a feature network; each network says which it takes.

    device: where it runs. resize: side in pixels to which images are brought (Inception-v3 always takes its own 299).
    weights: a local file of Inception-v3 weights; weights_sha256: its digest, where it is not the published file.
    download_dir: where fetched weights are kept; None: never fetch.
    """

    device: str = "cpu"
    resize: int = 64
    weights: Path | None = None
    weights_sha256: str | None = None
    download_dir: Path | None = None


DEFAULT_OPTIONS = FeatureOptions()


def load_feature_network(
    name: str, options: FeatureOptions = DEFAULT_OPTIONS, progress: OnProgress | None = None
) -> FeatureNetwork:
    """The network called `name`: efficientnet-lite0, inception-v3, inception-v3-clean or torchscript:<path>.

    `progress(done, total)` is called while weights are fetched. An unknown name, or weights that cannot be had, raise
    `UserError`.
    """
    kind, colon, file = name.partition(":")
    spec = FEATURE_NETWORKS.get(kind)
    if spec is None or bool(colon) != spec.takes_file:
        raise UserError(
            f"no feature network named {name!r}; there are: "
            + ", ".join(known + ":<path>" * entry.takes_file for known, entry in FEATURE_NETWORKS.items())
        )
    return load(spec.reference)(*spec.arguments, *([Path(file)] if colon else []), options, progress)


def as_images(images: np.ndarray | torch.Tensor) -> torch.Tensor:
    """Check that `images` are uint8 [N, C, H, W] with 1 or 3 channels, and give them as a tensor (not copied)."""
    if isinstance(images, np.ndarray):
        images = torch.from_numpy(images if images.flags.writeable else images.copy())
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] not in (1, 3):
        raise UserError(
            f"a feature network takes uint8 images [N, 1 or 3, H, W], not {images.dtype} {tuple(images.shape)}"
        )
    if len(images) == 0:
        raise UserError("there are no images to extract features from")
    return images


def rgb_batches(images: torch.Tensor, batch_size: int, device: str) -> Iterator[tuple[torch.Tensor, int]]:
    """Yield float32 RGB batches (values 0..255) on `device` and how many of their images are real, not padding."""
    if batch_size < 1:
        raise UserError(f"the batch size must be at least 1, not {batch_size}")
    size = -(-batch_size // BATCH_MULTIPLE) * BATCH_MULTIPLE
    for start in range(0, len(images), size):
        batch = images[start : start + size].to(device, torch.float32)
        real = len(batch)
        missing = -real % BATCH_MULTIPLE
        if missing:
            batch = torch.cat([batch, batch.new_zeros(missing, *batch.shape[1:])])
        yield batch.expand(-1, 3, -1, -1), real


def run_network(
    images: np.ndarray | torch.Tensor,
    forward: Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor | None]],
    *,
    card: dict[str, Any],
    device: str,
    batch_size: int,
    progress: OnProgress | None,
) -> Features:
    """Run `forward` (float RGB 0..255 [B, 3, H, W] → features [B, dim], probabilities [B, K] or None) over `images`."""
    checked = as_images(images)
    features: list[np.ndarray] = []
    probabilities: list[np.ndarray] = []
    done = 0
    # TF32 would round features to ten bits on recent GPUs, and autotuned convolutions differ from run to run.
    exact = torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)
    with torch.inference_mode(), exact:
        for batch, real in rgb_batches(checked, batch_size, device):
            vectors, classes = forward(batch)
            features.append(vectors[:real].float().cpu().numpy())
            if classes is not None:
                probabilities.append(classes[:real].float().cpu().numpy())
            done += real
            if progress is not None:
                progress(done, len(checked))
    joined = np.concatenate(probabilities) if probabilities else None
    return Features(np.concatenate(features), joined, card["name"], card["resize"], card["weights_sha256"])


def resize_bicubic(batch: torch.Tensor, size: int) -> torch.Tensor:
    """Bring [B, C, H, W] to size × size by bicubic interpolation, antialiased only where that shrinks the images."""
    shrinks = max(batch.shape[-2:]) > size
    return torch.nn.functional.interpolate(batch, size=(size, size), mode="bicubic", antialias=shrinks)


def load_torchscript(path: Path, device: str) -> torch.jit.ScriptModule:
    """Load a TorchScript file for inference. Raises UserError if it is none, or if its weights are not finite."""
    with warnings.catch_warnings():
        # PyTorch wants new models exported otherwise; the Inception-v3 of all published FIDs is a TorchScript file.
        warnings.filterwarnings("ignore", message=".*torch.jit.load.* is deprecated", category=FutureWarning)
        warnings.filterwarnings("ignore", message=".*torch.jit.load.* is deprecated", category=DeprecationWarning)
        try:
            module = torch.jit.load(str(path), map_location=device).eval()
        except (RuntimeError, ValueError, OSError) as damage:
            raise UserError(f"{path} is not a TorchScript file: {one_line(str(damage).splitlines()[0], 120)}") from None
    check_finite(module.state_dict(), path)
    return module
