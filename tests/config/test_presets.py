"""A study may name a network: its keys become those of the preset, and keys given beside it win."""

from pathlib import Path

import pytest
import yaml

from rediffuse.config import load_study
from rediffuse.config.trained import Network
from rediffuse.errors import UserError
from rediffuse.models.presets import PRESETS

ROOT = Path(__file__).resolve().parents[2]
STUDY_ONLY = {"preset", "class_conditional"}


def smoke(tmp_path: Path, **changes: dict) -> Path:
    study = yaml.safe_load((ROOT / "studies" / "smoke.yaml").read_text())
    for section, network in changes.items():
        place = study["defaults"] if section == "defaults" else study["runs"][section]
        place["network"] = network
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(study))
    return path


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_every_preset_resolves_to_the_fields_of_its_network(name: str, tmp_path: Path):
    from rediffuse.models.presets import preset

    keys = set(Network.model_fields) - STUDY_ONLY
    config = preset(name)
    shared = {key: getattr(config, key) for key in keys}
    shared["attention"] = [4] if 4 in config.resolutions else []
    # The smoke study's images are 8×8: a preset for larger ones has other sides.
    path = smoke(tmp_path, improved={"preset": name, "attention": shared["attention"], "multipliers": [1, 2]})
    shared["multipliers"] = (1, 2)
    network = load_study(path).runs["improved"].network
    assert {key: getattr(network, key) for key in keys} == {**shared, "attention": tuple(shared["attention"])}
    assert network.preset == name


def test_keys_beside_a_preset_and_in_later_layers_win(tmp_path: Path):
    path = smoke(tmp_path, defaults={"preset": "tiny-digits", "channels": 12}, improved={"blocks": 1})
    runs = load_study(path).runs
    assert (runs["baseline"].network.channels, runs["baseline"].network.blocks) == (12, 2)
    assert (runs["improved"].network.channels, runs["improved"].network.blocks) == (12, 1)
    assert runs["improved"].network.groups == 8


def test_a_preset_in_a_later_layer_replaces_the_network_below_it(tmp_path: Path):
    below = {"channels": 24, "multipliers": [1, 2], "attention": [4], "heads": 2}
    path = smoke(tmp_path, defaults=below, improved={"preset": "micro-digits"})
    network = load_study(path).runs["improved"].network
    assert (network.channels, network.heads, network.groups) == (8, 1, 4)


def test_an_unknown_preset_is_refused_in_one_line_that_lists_them(tmp_path: Path):
    with pytest.raises(UserError, match=r"runs.improved.network.preset: .*'ho'.*ho-cifar10") as caught:
        load_study(smoke(tmp_path, improved={"preset": "ho"}))
    assert "\n" not in str(caught.value)
