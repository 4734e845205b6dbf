"""FLOPs and parameters of the U-Net of residual blocks from its configuration alone: the layers written out by hand."""

from collections import Counter

from rediffuse.models.blocks import group_count
from rediffuse.models.unet_config import UNetConfig


def closed_form(config: UNetConfig) -> tuple[int, Counter[str]]:
    """(parameters, FLOPs by kind of one image). A k×k convolution to s×s pixels: 2 k² C_in C_out s² FLOPs."""
    parameters = 0
    flops: Counter[str] = Counter()

    def convolution(cin: int, cout: int, kernel: int, side: int) -> None:
        nonlocal parameters
        parameters += kernel * kernel * cin * cout + cout
        flops["convolution"] += 2 * kernel * kernel * cin * cout * side * side

    def linear(cin: int, cout: int, rows: int, kind: str) -> None:
        nonlocal parameters
        parameters += cin * cout + cout
        flops[kind] += 2 * rows * cin * cout

    def norm(channels: int) -> None:
        nonlocal parameters
        assert channels % group_count(channels, config.groups) == 0
        parameters += 2 * channels

    embedded = 0

    def block(cin: int, cout: int, side: int, attends: bool) -> None:
        nonlocal embedded
        norm(cin)
        convolution(cin, cout, 3, side)
        norm(cout)
        convolution(cout, cout, 3, side)
        if cin != cout:
            convolution(cin, cout, 1 if config.shortcut == "1x1" else 3, side)
        embedded += 2 * cout if config.time_conditioning == "scale-shift" else cout
        if attends:
            tokens = side * side
            norm(cout)
            linear(cout, 3 * cout, tokens, "projection")
            flops["attention"] += 2 * (2 * tokens * tokens * cout)  # whatever the number of heads
            linear(cout, cout, tokens, "projection")

    width, side = config.channels, config.image_size
    convolution(config.in_channels, width, 3, side)
    skips, current = [width], width
    for level, multiplier in enumerate(config.multipliers):
        side = config.image_size >> level
        for _ in range(config.blocks):
            block(current, config.channels * multiplier, side, side in config.attention)
            current = config.channels * multiplier
            skips.append(current)
        if level < len(config.multipliers) - 1:
            if config.downsample == "conv":
                convolution(current, current, 3, side // 2)
            skips.append(current)
    block(current, current, side, config.middle_attention)
    block(current, current, side, False)
    for level in reversed(range(len(config.multipliers))):
        side = config.image_size >> level
        for _ in range(config.blocks + 1):
            block(current + skips.pop(), config.channels * config.multipliers[level], side, side in config.attention)
            current = config.channels * config.multipliers[level]
        if level:
            convolution(current, current, 3, 2 * side)
    norm(current)
    convolution(current, config.out_channels, 3, config.image_size)
    wide = 4 * width
    if config.use_time:
        linear(width, wide, 1, "linear")
        linear(wide, wide, 1, "linear")
    if config.num_classes is not None:
        parameters += (config.num_classes + 1) * wide
    if config.use_time or config.num_classes is not None:
        linear(wide, embedded, 1, "linear")
    return parameters, flops
