"""The numbers of the corrections, against closed forms, SciPy and networks counted layer by layer."""

from itertools import product

import numpy as np
import pytest
import scipy.stats
import torch
from torch import nn

from rediffuse.corrections import numbers
from rediffuse.corrections.entries import entries
from rediffuse.corrections.numbers import d4_parameters
from rediffuse.corrections.registry import NUMBERS
from rediffuse.registry import load

BETAS = np.linspace(1e-4, 0.02, 1000)
BARS = np.cumprod(1 - BETAS)
#: As D4 prints them, with the sizes of its exercise 3.6.1.
PRINTED = {
    461_729: (16, (1, 2, 2)),
    3_652_481: (32, (1, 2, 2, 4)),
    35_742_785: (64, (1, 2, 4, 8)),
    142_836_097: (128, (1, 2, 4, 8)),
}


def test_every_number_fills_its_sentence():
    told = [(each.number, each.shows) for one in entries() for each in one.evidence if each.number]
    found = {name: load(NUMBERS[name].code)() for name, _ in told}
    for name, shows in told:
        assert "{" not in shows.format(**found[name])


def test_a_tanh_leaves_out_both_tails_of_the_noise():
    assert numbers.tanh()["outside"] == pytest.approx(100 * 2 * scipy.stats.norm.sf(1))


def test_the_slope_of_the_distances_is_the_least_squares_one_with_its_t_interval():
    x, y = np.arange(5, 31, 5), np.array([257.68, 214.59, 246.37, 211.25, 205.01, 228.97])
    (slope, _), covariance = np.polyfit(x, y, 1, cov="unscaled")
    error = np.sqrt(covariance[0, 0] * np.sum((y - np.polyval(np.polyfit(x, y, 1), x)) ** 2) / 4)
    found = numbers.trend()
    assert found["slope"] == pytest.approx(slope)
    assert found["high"] - slope == pytest.approx(2.776445 * error, rel=1e-5)
    assert found["low"] < 0 < found["high"]


def test_alpha_bar_falls_fastest_where_its_step_beta_times_alpha_bar_is_largest():
    falls = BETAS[1:] * BARS[:-1]
    assert numbers.fall() == {"t": 1 + int(falls.argmax()), "times": pytest.approx(falls.max() / falls[-1], rel=1e-6)}


def test_the_ends_of_the_schedules():
    rebuilt = np.prod(1 - np.linspace(1e-4, 0.02, 50))
    assert numbers.ends() == pytest.approx({"trained": BARS[-1], "rebuilt": rebuilt, "cut": BARS[49]}, rel=1e-9)


def test_memory_of_the_skips_of_the_first_ddpm_by_hand():
    # 128 channels × (1, 2, 2, 2) at sides 32, 16, 8, 4: the first layer, two blocks a scale, three halvings.
    kept = 128 * (3 * 32**2 + 16**2) + 256 * (2 * 16**2 + 8**2 + 2 * 8**2 + 4**2 + 2 * 4**2)
    # The largest map is that of the convolution behind the last doubling: 256 channels at side 32.
    found = numbers.sampling_memory()
    assert (found["skips"], found["largest"]) == (4 * kept / 2**20, 4 * 256 * 32**2 / 2**20)


def block(inside: int, outside: int, time: int) -> list[nn.Module]:
    shortcut = [nn.Conv2d(inside, outside, 1)] if inside != outside else []
    convs = [nn.Conv2d(inside, outside, 3), nn.Conv2d(outside, outside, 3), nn.Linear(time, outside)]
    return [*convs, nn.GroupNorm(8, outside), nn.GroupNorm(8, outside), *shortcut]


def test_d4s_network_counted_layer_by_layer():
    # 16 channels × (1, 2): time, first layer, down, middle, up (skips 16, 16, 16 | 16, 32, 32), last layer.
    with torch.device("meta"):
        layers = [nn.Linear(16, 64), nn.Linear(64, 64), nn.Conv2d(1, 16, 3)]
        layers += [*block(16, 16, 64), *block(16, 16, 64), nn.Conv2d(16, 16, 3)]
        layers += [*block(16, 32, 64), *block(32, 32, 64), *block(32, 32, 64), *block(32, 32, 64)]
        for inside, outside in ((64, 32), (64, 32), (48, 32)):
            layers += block(inside, outside, 64)
        layers += [nn.ConvTranspose2d(32, 32, 4)]
        for inside, outside in ((48, 16), (32, 16), (32, 16)):
            layers += block(inside, outside, 64)
        layers += [nn.GroupNorm(8, 16), nn.Conv2d(16, 1, 3)]
    assert d4_parameters(16, (1, 2)) == sum(p.numel() for layer in layers for p in layer.parameters())


def test_no_reading_of_d4s_network_has_a_printed_number_of_parameters():
    for count, (channels, multipliers) in PRINTED.items():
        for middle, halving in product(range(4), (2, 3, 4)):
            assert d4_parameters(channels, multipliers, middle=middle, halving=halving) != count
