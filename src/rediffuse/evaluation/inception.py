"""Inception-v3 of the original FID, as clean-fid takes it: the TorchScript file inception-2015-12-05.pt.

The weights are not packaged: they come from a given file, from where clean-fid keeps them, or from their published
address. They are the TensorFlow network of 2015, not torchvision's Inception-v3, whose features give other numbers.
"""

import platform
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from cleanfid.resize import build_resizer

from rediffuse.download import OnProgress, RemoteFile, fetch
from rediffuse.errors import UserError, one_line
from rediffuse.evaluation.features import (
    DEFAULT_OPTIONS,
    FeatureOptions,
    Features,
    load_torchscript,
    run_network,
)
from rediffuse.files import sha256

WEIGHTS = RemoteFile(
    name="inception-2015-12-05.pt",
    urls=("https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/metrics/inception-2015-12-05.pt",),
    algorithm="sha256",
    checksum="f58cb9b6ec323ed63459aa4fb441fe750cfe39fafad6da5cb504a16f19e958f4",
)
# Where clean-fid's feature_extractor looks for its weights and puts them.
CLEANFID_CACHE = Path("./" if platform.system() == "Windows" else "/tmp") / WEIGHTS.name

Mode = Literal["legacy_tensorflow", "clean"]


class InceptionV3:
    """Features: the 2,048 pooled activations; probabilities: its 1,008 outputs.

    `legacy_tensorflow` resizes inside the network as TensorFlow's first FID did (published FIDs); `clean` resizes by
    Pillow's antialiased bicubic filter to floats (Parmar et al. 2022). Probabilities leave out the output layer's bias,
    as the original Inception score does.
    """

    dim = 2048

    def __init__(
        self,
        mode: Mode = "legacy_tensorflow",
        options: FeatureOptions = DEFAULT_OPTIONS,
        progress: OnProgress | None = None,
        *,
        file: RemoteFile = WEIGHTS,
    ) -> None:
        path = _find_weights(file, options, progress)
        self.name = "inception-v3" if mode == "legacy_tensorflow" else "inception-v3-clean"
        self.resize = f"{mode}-299"
        self._device = options.device
        self._model = load_torchscript(path, options.device)
        if not (hasattr(self._model, "layers") and hasattr(self._model, "output")):
            raise UserError(
                f"{path} is a TorchScript module, but not FID's Inception-v3: it has no `layers` or `output`"
            )
        self._pillow_resize = build_resizer("clean") if mode == "clean" else None
        try:
            with torch.inference_mode():
                self._forward(torch.zeros(2, 3, 32, 32, device=self._device))
        except (RuntimeError, AttributeError) as damage:
            why = one_line(str(damage).strip().splitlines()[-1], 120)
            raise UserError(f"{path} is not FID's Inception-v3, with 2,048 features of an image: {why}") from None
        digest = sha256(path)
        resizing = {"legacy_tensorflow": "bilinear, TensorFlow 1 alignment, no antialiasing", "clean": "Pillow bicubic"}
        self.card: dict[str, Any] = {
            "name": self.name,
            "dim": self.dim,
            "classes": 1008,
            "weights": path.name,
            "weights_sha256": digest,
            "published_weights": digest == WEIGHTS.checksum,
            "resize": self.resize,
            "preprocessing": [
                "grey images repeated to RGB",
                f"{resizing[mode]}, to 299x299, not rounded",
                "(x - 128) / 128 for x in 0..255",
            ],
        }

    def extract(
        self, images: np.ndarray | torch.Tensor, batch_size: int = 32, progress: OnProgress | None = None
    ) -> Features:
        """See `FeatureNetwork.extract`."""
        return run_network(
            images, self._forward, card=self.card, device=self._device, batch_size=batch_size, progress=progress
        )

    def _forward(self, batch: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        if self._pillow_resize is None:
            features = self._model(batch, return_features=True)
        else:
            features = self._model.layers(self._resized(batch).sub(128).div(128))
        features = features.reshape(len(batch), self.dim)
        # The same forward gives both: the module's own call would run the whole network again for probabilities.
        return features, torch.nn.functional.linear(features, self._model.output.weight).softmax(1)

    def _resized(self, batch: torch.Tensor) -> torch.Tensor:
        assert self._pillow_resize is not None
        pixels = batch.permute(0, 2, 3, 1).cpu().numpy().astype(np.uint8)
        resized = np.stack([self._pillow_resize(image) for image in pixels])
        return torch.from_numpy(resized).permute(0, 3, 1, 2).to(self._device)


def _find_weights(file: RemoteFile, options: FeatureOptions, progress: OnProgress | None) -> Path:
    """The weights file: the given one, clean-fid's own copy, one fetched before, or one fetched now; always checked."""
    if options.weights is not None:
        path = Path(options.weights)
        if not path.is_file():
            raise UserError(f"Inception-v3 weights {path} do not exist: give the file {file.name}")
        found, expected = sha256(path), options.weights_sha256 or file.checksum
        if found != expected:
            raise UserError(
                f"{path}: Inception-v3 weights have sha256 {found}, not {expected}: give {file.name}, or the digest of "
                "your own in weights_sha256"
            )
        return path
    kept = [CLEANFID_CACHE]
    if options.download_dir is not None:
        kept.append(Path(options.download_dir) / file.name)
    for path in kept:
        if path.is_file() and sha256(path) == file.checksum:
            return path
    if options.download_dir is None:
        raise UserError(
            f"Inception-v3 needs {file.name}, which is neither given nor in clean-fid's place ({CLEANFID_CACHE}): "
            f"fetch it from {file.urls[0]} and name it as the weights file"
        )
    return fetch(file, Path(options.download_dir), progress)
