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
    layers, scales = config.skips == "layers", []
    for level, multiplier in enumerate(config.multipliers):
        side = config.image_size >> level
        for _ in range(config.blocks):
            block(current, config.channels * multiplier, side, side in config.attention)
            current = config.channels * multiplier
            skips.append(current)
        scales.append(current)
        if level < len(config.multipliers) - layers:
            side //= 2
            if config.downsample == "conv":
                convolution(current, current, 3, side)
            skips.append(current)
    block(current, current, side, config.middle_attention)
    block(current, current, side, False)
    if not layers:
        convolution(current, current, 3, 2 * side)
    for level in reversed(range(len(config.multipliers))):
        side = config.image_size >> level
        width = scales[level] if layers else [config.channels, *scales][level]
        for index in range(config.blocks + layers):
            joined = skips.pop() if layers else scales[level] if index == 0 else 0
            block(current + joined, width, side, side in config.attention)
            current = width
        if level:
            convolution(current, current, 3, 2 * side)
    norm(current)
    convolution(current, config.out_channels, 3, config.image_size)
    wide = config.time_width * config.channels
    if config.use_time:
        linear(config.time_sinusoid * config.channels, wide, 1, "linear")
        linear(wide, wide, 1, "linear")
    if config.num_classes is not None:
        parameters += (config.num_classes + 1) * wide
        if config.class_mlp:
            linear(wide, wide, 1, "linear")
            linear(wide, wide, 1, "linear")
    if config.use_time or config.num_classes is not None:
        linear(wide, embedded, 1, "linear")
    return parameters, flops
