"""LPIPS, a perceptual distance between two images: weighted squared differences of unit-normalised network maps.

d(x, y) = Σ_l 1/(H_l W_l) Σ_hw |√w_l ⊙ (ŷ_l − x̂_l)|²   (Zhang et al. 2018, eq. 1; version 0.1 of their weights)

x̂_l: the maps after five rectifiers of AlexNet or VGG-16, each position's channels scaled to length 1; w_l ≥ 0: linear
heads fitted to people's judgements. So d is a squared Euclidean distance between long vectors, and its mean over all
pairs of N images costs N passes and no pairs (`diversity`).

Nothing is downloaded and no weights are packaged: the network's come from torchvision's published file or any file
with the same names, the heads from the authors' (lin0.model.1.weight …).
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import torchvision
from torch import Tensor
from torch.nn.functional import interpolate

from rediffuse.errors import UserError
from rediffuse.evaluation.feature_networks import LPIPS_LEAST
from rediffuse.evaluation.features import as_images, load_torchscript, rgb_batches
from rediffuse.weights import check_finite, is_torchscript, read_tensors

Backbone = Literal["alex", "vgg"]

# After which layers of torchvision's `features` the maps are taken, and their channels.
TAPS: dict[str, tuple[int, ...]] = {"alex": (1, 4, 7, 9, 11), "vgg": (3, 8, 15, 22, 29)}
CHANNELS: dict[str, tuple[int, ...]] = {"alex": (64, 192, 384, 256, 256), "vgg": (64, 128, 256, 512, 512)}

# ImageNet's mean and deviation for images in [−1, 1], as the authors round them.
_SHIFT, _SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
_EPSILON = 1e-10


class LpipsDistance:
    """LPIPS with weights from files.

    backbone: torchvision's `alexnet` or `vgg16` weights, or a file that holds network and heads both, as the authors'
    module saves itself; heads: the linear heads, None where `backbone` holds them. A file is a .safetensors file, a
    TorchScript file or a state dictionary saved by torch. size: side to which images are brought first (bilinear),
    None: as they are. Raises UserError, naming the file, when weights are missing, of another shape or negative heads.
    """

    def __init__(
        self,
        network: Backbone,
        backbone: Path,
        heads: Path | None = None,
        *,
        size: int | None = None,
        device: str = "cpu",
    ) -> None:
        if network not in TAPS:
            raise UserError(f"no LPIPS network named {network!r}; there are: {', '.join(TAPS)}")
        self.network, self.size, self._device = network, size, device
        self._layers = _features(network, read_weights(Path(backbone)), Path(backbone)).to(device)
        source = Path(heads or backbone)
        found = _heads(network, read_weights(source), source)
        self._roots = [head.sqrt().to(device)[:, None, None] for head in found]

    def distance(self, images: np.ndarray, others: np.ndarray, batch_size: int = 32) -> np.ndarray:
        """d of each of uint8 images [N, 1 or 3, H, W] to the one of `others` [N, …] in its place; float64 [N]."""
        if len(images) != len(others):
            raise UserError(f"LPIPS compares as many images with as many: not {len(images)} with {len(others)}")
        pairs = zip(self.embeddings(images, batch_size), self.embeddings(others, batch_size), strict=True)
        return np.concatenate([np.square(x - y).sum(1) for x, y in pairs])

    def diversity(self, images: np.ndarray, batch_size: int = 32) -> float:
        """Mean of d over all pairs of different images of uint8 [N, 1 or 3, H, W], N ≥ 2: exact, in N passes."""
        if len(images) < 2:
            raise UserError(f"diversity needs at least 2 images, not {len(images)}")
        origin: np.ndarray | None = None
        total, squares = np.zeros(1), 0.0
        for vectors in self.embeddings(images, batch_size):
            # Measured from the first image, so that near-copies do not cancel to rounding.
            origin = vectors[0] if origin is None else origin
            moved = vectors - origin
            total = total + moved.sum(0)
            squares += float(np.square(moved).sum())
        count = len(images)
        return max(2 * (squares - float(total @ total) / count) / (count - 1), 0.0)

    def embeddings(self, images: np.ndarray, batch_size: int = 32) -> Iterator[np.ndarray]:
        """Yield float64 [≤ batch, D] vectors whose squared Euclidean distances are d, for uint8 images in order."""
        checked = as_images(images)
        side = self.size or min(checked.shape[-2:])
        if side < LPIPS_LEAST[self.network]:
            raise UserError(
                f"LPIPS with {self.network} needs images of at least {LPIPS_LEAST[self.network]} pixels, not {side}: "
                "give a larger size to bring them to"
            )
        for batch, real in rgb_batches(checked, batch_size, self._device):
            if self.size is not None:
                batch = interpolate(batch, (self.size, self.size), mode="bilinear", align_corners=False)
            yield self._embed(batch / 127.5 - 1)[:real].cpu().numpy()

    # Around a call and not around a loop that yields: a generator left half-way would leave its caller in that mode.
    @torch.inference_mode()
    def _embed(self, images: Tensor) -> Tensor:
        shift, scale = (images.new_tensor(values)[:, None, None] for values in (_SHIFT, _SCALE))
        maps, parts, roots = (images - shift) / scale, [], iter(self._roots)
        for place, layer in enumerate(self._layers):
            maps = layer(maps)
            if place in TAPS[self.network]:
                unit = maps.double()
                unit = unit / (unit.square().sum(1, keepdim=True).sqrt() + _EPSILON)
                area = maps.shape[-2] * maps.shape[-1]
                parts.append((unit * next(roots) / area**0.5).flatten(1))
        return torch.cat(parts, 1)


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a .safetensors file, a TorchScript file or a state dictionary saved by torch, on the CPU."""
    if not path.is_file():
        raise UserError(f"LPIPS weights {path} do not exist: give torchvision's network and the authors' linear heads")
    try:
        tensors = dict(load_torchscript(path, "cpu").state_dict()) if is_torchscript(path) else read_tensors(path)
    except UserError as error:
        raise UserError(f"{path} holds no weights: {str(error).removeprefix(f'{path}: ')}") from None
    check_finite(tensors, path)
    return tensors


def _features(network: str, weights: dict[str, Tensor], path: Path) -> torch.nn.Sequential:
    """The layers up to the last rectifier that counts, with their weights."""
    # On the meta device: VGG-16's classifier alone would take 500 MB and seconds to fill with noise.
    with torch.device("meta"):
        build = torchvision.models.alexnet if network == "alex" else torchvision.models.vgg16
        layers = build(weights=None).features[: TAPS[network][-1] + 1]
    renamed = {}
    for name, value in weights.items():
        parts = name.split(".")
        if parts[0] == "features" and len(parts) == 3:
            renamed[".".join(parts[1:])] = value.float()
        elif parts[0] == "net" and len(parts) == 4:
            renamed[".".join(parts[2:])] = value.float()
    wanted = layers.state_dict()
    for name, value in wanted.items():
        if name not in renamed:
            raise UserError(f"{path} holds no features.{name}: give torchvision's weights of {build.__name__}")
        if renamed[name].shape != value.shape:
            raise UserError(
                f"{path}: features.{name} is {list(renamed[name].shape)}, not {list(value.shape)}: give "
                f"torchvision's weights of {build.__name__}"
            )
    layers.load_state_dict({name: renamed[name] for name in wanted}, assign=True)
    for layer in layers:
        if isinstance(layer, torch.nn.ReLU):
            layer.inplace = False
    return layers.eval().requires_grad_(False)


def _heads(network: str, weights: dict[str, Tensor], path: Path) -> list[Tensor]:
    """The linear heads' weights, float64 [channels] each."""
    found = []
    for number, channels in enumerate(CHANNELS[network]):
        head = weights.get(f"lin{number}.model.1.weight", weights.get(f"lins.{number}.model.1.weight"))
        if head is None or head.numel() != channels:
            raise UserError(
                f"{path} holds no lin{number}.model.1.weight of {channels} channels: give the linear heads "
                f"of LPIPS {network}, version 0.1"
            )
        if (head < 0).any():
            raise UserError(f"{path}: lin{number}.model.1.weight has negative weights, which no distance can have")
        found.append(head.flatten().double())
    return found
