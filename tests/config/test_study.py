"""Inheritance, resolution and the generated reference of studies."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from rediffuse.config import ResolvedRun, load_study
from rediffuse.config.checks import check_run
from rediffuse.config.settings import merge
from rediffuse.config.yaml12 import read_yaml
from rediffuse.errors import UserError
from rediffuse.models.latent_options import LatentNetwork
from rediffuse.runs import facts
from rediffuse.runs.describe import json_schema, reference_page
from rediffuse.training.options import VaeTraining

ROOT = Path(__file__).resolve().parents[2]
STUDIES = sorted((ROOT / "studies").glob("*.yaml"))


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_every_shipped_study_is_valid(path: Path):
    assert load_study(path).runs


def test_the_active_study_is_one_of_the_shipped_ones():
    assert (ROOT / "params.yaml").read_text() in [path.read_text() for path in STUDIES]


def test_the_laboratory_asks_the_same_at_its_own_size_and_at_that_of_d3():
    small, full = (load_study(ROOT / "studies" / f"d3-lab{size}.yaml") for size in ("", "-full"))
    assert full.study.claims == small.study.claims
    for name, asks in small.study.experiments.items():
        other = full.study.experiments[name]
        sizes = {"arms": {key: arm.label for key, arm in asks.arms.items()}}
        assert asks.model_copy(update=sizes) == other.model_copy(
            update={"arms": {key: arm.label for key, arm in other.arms.items()}}
        )
        for key, arm in asks.arms.items():
            for section in ("network", "training", "sampling"):
                assert getattr(arm, section).keys() == getattr(other.arms[key], section).keys()
    d3 = full.runs["d3"]
    # D3, figure 4 and section 3: 30 epochs of 50,000 images in batches of 128, at a rate of 1e-4, and nothing else.
    assert d3.training.steps == 30 * (50_000 // 128 + 1)
    assert (d3.training.batch_size, d3.training.learning_rate) == (128, 1e-4)
    assert (d3.training.ema_decay, d3.training.clip_norm, d3.training.warmup, d3.sampling.clip) == (0, 0, 0, False)
    assert (d3.network.channels, d3.network.multipliers) == (64, (2, 4))


def test_a_run_inherits_what_it_does_not_override():
    loaded = load_study(ROOT / "studies" / "digits.yaml")
    baseline, improved = loaded.runs["baseline"], loaded.runs["improved"]
    assert improved.training == baseline.training == loaded.study.defaults.training
    assert (baseline.diffusion.schedule, improved.diffusion.schedule) == ("linear", "cosine")
    assert baseline.diffusion.timesteps == improved.diffusion.timesteps == 1000


def test_what_an_experiment_trains_starts_from_the_run_it_is_of_and_changes_one_thing():
    loaded = load_study(ROOT / "studies" / "digits.yaml")
    ablation, improved = loaded.ablations["width-halved"], loaded.runs["improved"]
    assert ablation.diffusion == improved.diffusion
    assert ablation.network.channels * 2 == improved.network.channels
    assert ablation.network.model_copy(update={"channels": improved.network.channels}) == improved.network


def test_overrides_merge_mappings_and_replace_lists_and_samplers():
    base = {"a": {"x": 1, "y": [1, 2]}, "samplers": {"ddim": {"steps": [5]}}}
    over = {"a": {"y": [3]}, "samplers": {"plms": {"steps": [10]}}}
    assert merge(base, over) == {"a": {"x": 1, "y": [3]}, "samplers": {"plms": {"steps": [10]}}}


def with_run(folder: Path, run: dict[str, Any], **data: Any) -> ResolvedRun:
    """A run beside the baseline of the smoke study."""
    values = yaml.safe_load((ROOT / "studies" / "smoke.yaml").read_text())
    values["runs"] = {"baseline": values["runs"]["baseline"], "other": run}
    values["experiments"], values["claims"] = {}, []
    values["data"] |= data
    (folder / "study.yaml").write_text(yaml.safe_dump(values))
    return load_study(folder / "study.yaml").runs["other"]


@pytest.mark.parametrize(
    ("model", "label", "training"),
    [
        # Radford et al. 2016, section 4.
        ("dcgan", "DCGAN", {"learning_rate": 2e-4, "beta1": 0.5}),
        # Gulrajani et al. 2017, algorithm 1.
        (
            "wgan-gp",
            "WGAN-GP",
            {"learning_rate": 1e-4, "beta1": 0.0, "beta2": 0.9, "critic_steps": 5, "gradient_penalty": 10.0},
        ),
        # Kingma & Ba 2015, algorithm 1, in the place of AdaGrad.
        ("vae", "VAE", {"learning_rate": 1e-3, "beta1": 0.9, "beta2": 0.999}),
    ],
)
def test_a_one_pass_model_takes_what_its_paper_uses_where_the_study_says_nothing(
    model: str, label: str, training: dict[str, float], tmp_path: Path
):
    run = with_run(tmp_path, {"model": model, "training": {"batch_size": 16}})
    assert run.label == label
    assert {name: getattr(run.training, name) for name in training} == training


def test_a_one_pass_model_takes_nothing_of_the_defaults_but_how_many_images_are_drawn(tmp_path: Path):
    run = with_run(tmp_path, {"model": "vae", "training": {"batch_size": 16}})
    assert (run.training.steps, run.network.channels) == (VaeTraining().steps, LatentNetwork().channels)
    assert (run.sampling.images, run.sampling.batch_size) == (40, 40)


@pytest.mark.parametrize(("side", "fits"), [(8, True), (64, True), (None, True), (4, False), (12, False), (28, False)])
def test_one_pass_models_are_for_sides_that_are_powers_of_two(side: int | None, fits: bool):
    # Of an image 4^2 grows to 8^2, 16^2, ...: Radford et al. 2016, figure 1.
    run = load_study(ROOT / "studies" / "smoke.yaml").runs["vae"]
    data = run.data.replace(name="digits", source="archive" if side is None else "digits", image_size=side)
    run = run.replace(data=data)
    if fits:
        check_run(run)
        return
    with pytest.raises(ValueError, match=f"power of two of at least 8, not {side}"):
        check_run(run)


@pytest.mark.parametrize("model", ["dcgan", "wgan-gp", "vae"])
def test_a_one_pass_model_is_sampled_in_one_pass(model: str):
    run = load_study(ROOT / "studies" / "smoke.yaml").runs[model]
    assert facts.settings(run) == [("one-pass-1", "one-pass", 1)]


def test_yaml_is_read_as_dvc_reads_it(tmp_path: Path):
    text = "rate: 1e-3\nword: no\nday: 2026-01-01\ncount: 010\n"
    (tmp_path / "file.yaml").write_text(text)
    from ruamel.yaml import YAML

    ours = read_yaml(tmp_path / "file.yaml")
    theirs = YAML(typ="safe").load(text)
    assert ours["rate"] == theirs["rate"] == 1e-3
    assert ours["word"] == theirs["word"] == "no"
    assert ours["day"] == "2026-01-01"


def test_the_reference_page_in_docs_is_the_generated_one():
    assert (ROOT / "docs" / "study.md").read_text() == reference_page() + "\n", (
        "run `rediffuse schema --markdown > docs/study.md`"
    )


def test_the_baseline_of_faces_has_the_small_variance_of_its_source():
    # Document D1, section 3.3.2: fixed-large for CIFAR-10, fixed-small for CelebA.
    variances = {
        name: load_study(ROOT / "studies" / f"{name}.yaml").runs["baseline"].diffusion.variance
        for name in ("cifar10", "celeba64")
    }
    assert variances == {"cifar10": "fixed-large", "celeba64": "fixed-small"}


def test_the_schema_accepts_the_shipped_studies():
    import json

    import jsonschema

    for path in STUDIES:
        jsonschema.validate(json.loads(json.dumps(read_yaml(path))), json.loads(json_schema()))


def test_a_study_printed_and_read_again_is_the_same(tmp_path: Path):
    loaded = load_study(ROOT / "studies" / "digits.yaml")
    (tmp_path / "again.yaml").write_text(yaml.safe_dump(loaded.study.model_dump(mode="json"), sort_keys=False))
    assert load_study(tmp_path / "again.yaml") == loaded


@pytest.mark.parametrize(
    ("says", "line"),
    [
        ({"runs": ["dcgan"]}, "restoration.runs: 'dcgan' is no run of a U-Net; use some of baseline, improved, "),
        ({"runs": ["light", "light"]}, "restoration.runs: names light twice; name it once"),
        ({"methods": ["ddim", "ddim"]}, "restoration.methods: names ddim twice; name it once"),
    ],
)
def test_what_restores_is_a_u_net_of_the_study_named_once(says: dict, line: str, tmp_path: Path):
    study = read_yaml(ROOT / "studies" / "smoke.yaml")
    study["restoration"] |= says
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study))
    with pytest.raises(UserError) as refused:
        load_study(tmp_path / "study.yaml")
    assert line in str(refused.value)
