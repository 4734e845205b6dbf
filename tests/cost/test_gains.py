"""What changes buy: ratios round by round, the smaller networks, what is left out and why, shares of the profile."""

import shutil
from types import SimpleNamespace

import pytest
import torch
from torch.autograd import DeviceType

from rediffuse.cost.gains import Gain, smaller, ways
from rediffuse.cost.operators import _self_times, shares
from rediffuse.cost.timing import Spread
from rediffuse.hardware import Hardware
from rediffuse.models.presets import PRESETS


def test_a_gain_pairs_the_rounds_and_adds_the_parts():
    before = {"forward": [1.0, 2.0, 3.0], "backward": [3.0, 2.0, 3.0]}
    after = {"forward": [1.0, 0.5, 2.0], "backward": [1.0, 0.5, 4.0]}
    gain = Gain.of("x", training=(before, after), sampling=({"forward": [2.0, 2.0]}, {"forward": [4.0, 1.0]}))
    assert gain.training == Spread(2.0, 1.0, 4.0, 3)
    assert gain.sampling == Spread(1.25, 0.5, 2.0, 2)


def test_smaller_networks_are_those_that_fit():
    assert {what: config.channels for what, config in smaller(PRESETS["tiny-digits"]).items()} == {
        "half the width": 8,
        "depthwise-separable blocks": 16,
    }
    # Six channels halved make a sinusoid of three, which cannot be; a light network is no lighter than itself.
    assert "half the width" not in smaller(PRESETS["tiny-digits"].replace(channels=6, groups=2))
    assert list(smaller(PRESETS["light-cifar10"])) == ["half the width"]


@pytest.mark.parametrize(
    ("hardware", "asked", "compiler", "reason"),
    [
        (Hardware(), False, "/usr/bin/c++", "does not ask for it"),
        (Hardware(compile=True), True, "/usr/bin/c++", "compiles its networks anyway"),
        (Hardware(), True, None, "no C++ compiler"),
        (Hardware(), True, "/usr/bin/c++", None),
    ],
)
def test_compiling_is_tried_where_it_is_asked_for_and_can_be(monkeypatch, hardware, asked, compiler, reason):
    monkeypatch.setattr(shutil, "which", lambda _: compiler)
    tried, left_out = ways(PRESETS["micro-digits"], hardware, try_compile=asked)
    assert ("torch.compile" in tried) == (reason is None)
    assert (reason or "") in left_out.get("torch.compile", "")


def test_precision_and_memory_order_are_tried_unless_the_study_has_them():
    config, both = PRESETS["micro-digits"], {"bfloat16 autocast", "channels-last memory order"}
    low = Hardware(precision="bfloat16", channels_last=True)
    assert both <= set(ways(config, Hardware(), try_compile=False)[0])
    assert not both & set(ways(config, low, try_compile=False)[0])


@pytest.mark.parametrize("compiled", [False, True])
def test_a_change_is_tried_on_a_network_that_is_otherwise_the_studys(compiled):
    tried, _ = ways(PRESETS["micro-digits"], Hardware(compile=compiled), try_compile=False)
    assert {how for _, _, how in tried.values()} == {compiled}


def test_a_kernel_of_a_gpu_counts_once_with_the_operator_that_launched_it():
    def row(key, kind, micros):
        return SimpleNamespace(key=key, device_type=kind, self_device_time_total=micros, count=1)

    rows = [row("aten::copy_", DeviceType.CPU, 4.0), row("void copy_kernel<float>", DeviceType.CUDA, 4.0)]
    profiler = SimpleNamespace(key_averages=lambda: [*rows, row("aten::mul", DeviceType.CPU, 1.0)])
    assert _self_times(profiler, torch.device("cuda")) == {"aten::copy_": (4.0, 1), "aten::mul": (1.0, 1)}


def test_shares_of_the_profile_are_of_all_time_and_end_in_the_rest():
    times = {"aten::mul": (1.0, 7), "aten::conv": (6.0, 3), "sum": (2.0, 1), "aten::add": (1.0, 4)}
    assert shares(times, shown=2) == [
        {"operator": "conv", "share": 0.6, "calls": 3},
        {"operator": "sum", "share": 0.2, "calls": 1},
        {"operator": "2 others", "share": 0.2, "calls": 11},
    ]
