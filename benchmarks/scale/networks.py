"""The networks whose cost docs/scale.md tells."""

from rediffuse.models.presets import preset
from rediffuse.models.unet_config import UNetConfig

NETWORKS: dict[str, UNetConfig] = {
    "ho-cifar10": preset("ho-cifar10"),
    "celeba64": preset("celeba64"),
    "ddim-celeba64": preset("ddim-celeba64"),
    # Nichol & Dhariwal 2021, the unconditional ImageNet 64×64 of their code's README: "--image_size 64
    # --num_channels 128 --num_res_blocks 3 --learn_sigma True"; what it leaves out is as in their CIFAR-10 network but
    # for the widths of 64×64.
    "iddpm-imagenet64": preset("iddpm-cifar10", image_size=64, multipliers=(1, 2, 3, 4), dropout=0.0),
}
