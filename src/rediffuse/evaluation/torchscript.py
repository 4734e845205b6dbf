"""A user's own feature network, as a TorchScript file."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rediffuse.download import OnProgress
from rediffuse.errors import UserError, one_line
from rediffuse.evaluation.features import (
    DEFAULT_OPTIONS,
    FeatureOptions,
    Features,
    load_torchscript,
    resize_bicubic,
    run_network,
)
from rediffuse.files import sha256


class TorchScriptNetwork:
    """A module that takes float32 RGB [B, 3, resize, resize], values 0..255, and gives features [B, dim] or
    (features [B, dim], logits [B, K]); it does its own scaling. `name`: what to call it, after the file when absent.
    """

    def __init__(
        self,
        path: Path,
        options: FeatureOptions = DEFAULT_OPTIONS,
        progress: OnProgress | None = None,
        *,
        name: str | None = None,
    ) -> None:
        if not path.is_file():
            raise UserError(f"the TorchScript file {path} does not exist")
        self._model = load_torchscript(path, options.device)
        self.name = name or "torchscript-" + re.sub(r"[^A-Za-z0-9]+", "-", path.stem).strip("-").lower()
        self.resize = f"bicubic-{options.resize}"
        self._size = options.resize
        self._device = options.device
        trial = torch.zeros(2, 3, self._size, self._size, device=self._device)
        try:
            with torch.inference_mode():
                features, logits = self._call(trial)
            shapes = [tuple(found.shape) for found in (features, logits) if found is not None]
        except (RuntimeError, AttributeError, ValueError) as damage:
            why = one_line(str(damage).strip().splitlines()[-1], 120)
            raise UserError(f"{path} gives no features for images {tuple(trial.shape)}: {why}") from None
        if any(len(shape) != 2 or shape[0] != 2 for shape in shapes):
            raise UserError(f"{path} gives {shapes[0]} for 2 images: features must be [2, dim], logits [2, classes]")
        self.dim = features.shape[1]
        self.card: dict[str, Any] = {
            "name": self.name,
            "dim": self.dim,
            "classes": None if logits is None else logits.shape[1],
            "weights": path.name,
            "weights_sha256": sha256(path),
            "resize": self.resize,
            "preprocessing": [
                "grey images repeated to RGB",
                f"bicubic to {self._size}x{self._size}, antialiased only when shrinking",
                "values 0..255; scaling is the network's own",
            ],
        }

    def extract(
        self, images: np.ndarray | torch.Tensor, batch_size: int = 32, progress: OnProgress | None = None
    ) -> Features:
        """See `FeatureNetwork.extract`."""
        return run_network(
            images, self._forward, card=self.card, device=self._device, batch_size=batch_size, progress=progress
        )

    def _forward(self, batch: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        features, logits = self._call(resize_bicubic(batch, self._size))
        return features, None if logits is None else logits.softmax(1)

    def _call(self, batch: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        output = self._model(batch)
        return output if isinstance(output, tuple) else (output, None)
