"""Configurations and weights of diffusers' `UNet2DModel`, both ways, against diffusers itself."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from rediffuse.diffusion.denoiser import Denoiser
from rediffuse.diffusion.process import DiffusionProcess
from rediffuse.errors import UserError
from rediffuse.interop.diffusers_format import (
    config_from_diffusers,
    config_to_diffusers,
    weights_from_diffusers,
    weights_to_diffusers,
)
from rediffuse.models import UNet, UNetConfig, preset
from rediffuse.samplers.ddim import ddim

diffusers = pytest.importorskip("diffusers")

# config.json of google/ddpm-cifar10-32, as published.
GOOGLE = {
    "_class_name": "UNet2DModel",
    "_diffusers_version": "0.0.4",
    "act_fn": "silu",
    "attention_head_dim": None,
    "block_out_channels": [128, 256, 256, 256],
    "center_input_sample": False,
    "down_block_types": ["DownBlock2D", "AttnDownBlock2D", "DownBlock2D", "DownBlock2D"],
    "downsample_padding": 0,
    "flip_sin_to_cos": False,
    "freq_shift": 1,
    "in_channels": 3,
    "layers_per_block": 2,
    "mid_block_scale_factor": 1,
    "norm_eps": 1e-06,
    "norm_num_groups": 32,
    "out_channels": 3,
    "sample_size": 32,
    "time_embedding_type": "positional",
    "up_block_types": ["UpBlock2D", "UpBlock2D", "AttnUpBlock2D", "UpBlock2D"],
}
SMALL = {
    **GOOGLE,
    "sample_size": 16,
    "block_out_channels": [16, 32, 32],
    "layers_per_block": 1,
    "norm_num_groups": 8,
    "down_block_types": ["DownBlock2D", "AttnDownBlock2D", "DownBlock2D"],
    "up_block_types": ["UpBlock2D", "AttnUpBlock2D", "UpBlock2D"],
}
VARIANTS: dict[str, dict[str, Any]] = {
    "as published": {},
    "scale and shift": {"resnet_time_scale_shift": "scale_shift", "attn_norm_num_groups": 8},
    "heads": {"attention_head_dim": 8},
    "cosine first": {"flip_sin_to_cos": True, "freq_shift": 0},
    "padding on every side": {"downsample_padding": 1},
    "learned variance": {"out_channels": 6},
    "classes": {"num_class_embeds": 5},
    "no attention in the middle": {"add_attention": False},
    "two blocks": {"layers_per_block": 2},
}


def relative(found: torch.Tensor, expected: torch.Tensor) -> float:
    assert expected.std() > 0.05
    return ((found - expected).norm() / expected.norm()).item()


def randomised(config: dict[str, Any]) -> torch.nn.Module:
    """diffusers' network, no tensor of it at a special value."""
    torch.manual_seed(0)
    network = diffusers.UNet2DModel(**{key: value for key, value in config.items() if key[0] != "_"}).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(0.0, parameter[0].numel() ** -0.5 if parameter.ndim > 1 else 0.3)
    return network


def imported(config: dict[str, Any], network: torch.nn.Module) -> UNet:
    ours = config_from_diffusers(config)
    model = UNet(ours).eval()
    model.load_state_dict(weights_from_diffusers(ours, network.state_dict()))
    return model


@pytest.mark.parametrize("change", VARIANTS.values(), ids=VARIANTS)
def test_an_imported_network_computes_what_diffusers_computes(change: dict[str, Any]) -> None:
    config = {**SMALL, **change}
    theirs = randomised(config)
    ours = imported(config, theirs)
    x, t = torch.randn(3, 3, 16, 16), torch.tensor([3, 501, 999])
    y = torch.tensor([0, 4, 2]) if "num_class_embeds" in change else None
    with torch.no_grad():
        assert relative(ours(x, t, y), theirs(x, t, class_labels=y).sample) < 1e-5


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"time_conditioning": "scale-shift"},
        {"heads": 4},
        {"time_order": "cos-sin", "time_frequency_shift": 0},
        {"downsample_padding": "symmetric"},
        {"out_channels": 2},
        {"num_classes": 10},
        {"middle_attention": False},
        {"norm_eps": 1e-3},
    ],
    ids=str,
)
def test_an_exported_network_computes_in_diffusers_what_it_computes_here(
    awake: Callable, images: Callable, changes: dict[str, Any]
) -> None:
    config = preset("tiny-digits", **changes)
    ours, theirs = awake(UNet(config)), diffusers.UNet2DModel(**config_to_diffusers(config)).eval()
    theirs.load_state_dict(weights_to_diffusers(config, ours.state_dict()), strict=True)
    x, t = images(config), torch.tensor([3, 501, 999])
    y = torch.tensor([0, 9, 10]) if config.num_classes else None
    with torch.no_grad():
        assert relative(theirs(x, t, class_labels=y).sample, ours(x, t, y)) < 1e-5


def test_a_whole_ddim_chain_of_an_imported_network_ends_where_diffusers_ends() -> None:
    theirs = randomised(SMALL)
    ours = imported(SMALL, theirs)
    scheduler = diffusers.DDIMScheduler(clip_sample=True, set_alpha_to_one=True)
    scheduler.set_timesteps(50)
    x = torch.randn(2, 3, 16, 16)
    process = DiffusionProcess.create("linear", 1000).respace([int(t) for t in reversed(scheduler.timesteps)])

    class Noise:
        shape = x.shape

        def initial(self) -> torch.Tensor:
            return x

    with torch.no_grad():
        expected = x
        for t in scheduler.timesteps:
            output = theirs(expected, t).sample
            expected = scheduler.step(output, t, expected, use_clipped_model_output=True).prev_sample
        found = ddim(Denoiser(ours, process), Noise())
    assert relative(found, expected) < 1e-5


def test_the_published_cifar10_configuration_is_the_ho_preset_without_its_dropout() -> None:
    assert config_from_diffusers(GOOGLE) == preset("ho-cifar10", dropout=0.0)


@pytest.mark.parametrize("name", ["ho-cifar10", "tiny-digits", "micro-digits"])
def test_a_configuration_survives_the_way_there_and_back(name: str) -> None:
    assert config_from_diffusers(config_to_diffusers(preset(name))) == preset(name)


def test_weights_survive_the_way_there_and_back_bit_by_bit(awake: Callable) -> None:
    config = preset("tiny-digits", heads=2, num_classes=3)
    state = awake(UNet(config)).state_dict()
    back = weights_from_diffusers(config, weights_to_diffusers(config, state), null_class=True)
    assert state.keys() == back.keys()
    assert all(torch.equal(state[name], back[name]) for name in state)


def test_attention_under_its_old_names_is_read() -> None:
    config = config_from_diffusers(SMALL)
    theirs = randomised(SMALL).state_dict()
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    renamed = dict(theirs)
    for today, before in old.items():
        renamed = {name.replace(f".{today}.", f".{before}."): value for name, value in renamed.items()}
    assert renamed.keys() != theirs.keys()
    expected = weights_from_diffusers(config, theirs)
    found = weights_from_diffusers(config, renamed)
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_the_last_class_may_stand_for_no_label() -> None:
    config = {**SMALL, "num_class_embeds": 5}
    theirs = randomised(config)
    ours = config_from_diffusers(config, null_class=True)
    model = UNet(ours).eval()
    model.load_state_dict(weights_from_diffusers(ours, theirs.state_dict(), null_class=True))
    x, t = torch.randn(2, 3, 16, 16), torch.tensor([3, 501])
    with torch.no_grad():
        assert relative(model(x, t), theirs(x, t, class_labels=torch.tensor([4, 4])).sample) < 1e-5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"center_input_sample": True}, "center_input_sample: True"),
        ({"time_embedding_type": "fourier"}, "time_embedding_type: 'fourier'"),
        ({"mid_block_type": None}, "mid_block_type: None"),
        ({"mid_block_scale_factor": 1.4}, "mid_block_scale_factor: 1.4"),
        ({"downsample_type": "resnet"}, "downsample_type: 'resnet'"),
        ({"act_fn": "gelu"}, "act_fn: 'gelu'"),
        ({"class_embed_type": "timestep"}, "class_embed_type: 'timestep'"),
        ({"downsample_padding": 2}, "downsample_padding: 2"),
        ({"resnet_time_scale_shift": "spatial"}, "resnet_time_scale_shift: 'spatial'"),
        ({"resnet_time_scale_shift": "scale_shift"}, "attn_norm_num_groups: None"),
        ({"attn_norm_num_groups": 4}, "attn_norm_num_groups: 4"),
        ({"sample_size": None}, "sample_size: None"),
        ({"block_out_channels": [16, 24, 32]}, r"block_out_channels: \[16, 24, 32\]"),
        ({"time_embedding_dim": 100}, "time_embedding_dim: 100"),
        ({"down_block_types": ["SkipDownBlock2D"] * 3}, "down_block_types: 'SkipDownBlock2D'"),
        ({"up_block_types": ["AttnUpBlock2D", "UpBlock2D", "UpBlock2D"]}, "up_block_types: .*mirror"),
        ({"norm_num_groups": 16}, "norm_num_groups: 16 .* 16 channels"),
        ({"attention_head_dim": 5}, "attention_head_dim: 5"),
        ({"block_out_channels": [16, 32, 64], "attention_head_dim": 8}, r"attention_head_dim: 8 .*\[32, 64\]"),
        ({"freq_shift": 0.5}, "freq_shift: 0.5"),
        ({"encoder_hid_dim": 3}, "encoder_hid_dim: 3"),
        ({"_class_name": "UNet2DConditionModel"}, "_class_name: 'UNet2DConditionModel'"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_configuration_that_cannot_be_represented_is_refused_by_key_and_value(
    change: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        config_from_diffusers({**SMALL, **change})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"downsample": "average"}, "downsample is 'average'"),
        ({"shortcut": "3x3"}, "shortcut is '3x3'"),
        ({"use_time": False}, "use_time is False"),
        ({"time_scale": 0.25}, "time_scale is 0.25"),
        ({"groups": 32}, "groups is 32, .* 8, 16, 24"),
        ({"heads": 2, "attention": (8, 4)}, r"heads is 2 at widths \[16, 32\]"),
    ],
)
def test_a_network_that_diffusers_cannot_build_is_refused_by_field(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        config_to_diffusers(preset("tiny-digits", **changes))


def broken(change: Callable[[dict[str, torch.Tensor]], None]) -> None:
    config = config_from_diffusers(SMALL)
    tensors = weights_to_diffusers(config, UNet(config).state_dict())
    change(tensors)
    weights_from_diffusers(config, tensors, source="w.safetensors")


def test_a_missing_tensor_is_named() -> None:
    with pytest.raises(UserError, match=r"w.safetensors: tensor conv_in.weight is missing; .*\[16, 3, 3, 3\]"):
        broken(lambda tensors: tensors.pop("conv_in.weight"))


def test_a_tensor_without_a_place_is_named() -> None:
    with pytest.raises(UserError, match=r"tensor extra.bias has no place"):
        broken(lambda tensors: tensors.update({"extra.bias": torch.zeros(3)}))


def test_a_tensor_of_another_shape_is_named_with_both_shapes() -> None:
    with pytest.raises(UserError, match=r"tensor conv_out.bias is of shape \[4\]; it should be \[3\]"):
        broken(lambda tensors: tensors.update({"conv_out.bias": torch.zeros(4)}))


def test_every_preset_of_ours_that_diffusers_can_build_has_the_same_number_of_weights_there() -> None:
    config: UNetConfig = preset("ho-cifar10")
    with torch.device("meta"):
        theirs = diffusers.UNet2DModel(**config_to_diffusers(config))
    assert sum(p.numel() for p in theirs.parameters()) == 35_746_307
