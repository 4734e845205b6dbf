"""Inheritance, resolution and the generated reference of studies."""

from pathlib import Path

import pytest
import yaml
from rediffuse.config.generators import Generator, check_generator, resolve

from rediffuse.config import load_study
from rediffuse.config.describe import json_schema, reference_page
from rediffuse.config.study import merge
from rediffuse.config.yaml12 import read_yaml

ROOT = Path(__file__).resolve().parents[2]
SMOKE = load_study(ROOT / "studies" / "smoke.yaml").study
STUDIES = sorted((ROOT / "studies").glob("*.yaml"))


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_every_shipped_study_is_valid(path: Path):
    assert load_study(path).runs


def test_the_active_study_is_one_of_the_shipped_ones():
    assert (ROOT / "params.yaml").read_text() in [path.read_text() for path in STUDIES]


def test_a_run_inherits_what_it_does_not_override():
    loaded = load_study(ROOT / "studies" / "digits.yaml")
    baseline, improved = loaded.runs["baseline"], loaded.runs["improved"]
    assert improved.training == baseline.training == loaded.study.defaults.training
    assert (baseline.diffusion.schedule, improved.diffusion.schedule) == ("linear", "cosine")
    assert baseline.diffusion.timesteps == improved.diffusion.timesteps == 1000


def test_an_ablation_starts_from_the_run_it_is_of_and_changes_one_thing():
    loaded = load_study(ROOT / "studies" / "digits.yaml")
    ablation, improved = loaded.ablations["width-halved"], loaded.runs["improved"]
    assert ablation.diffusion == improved.diffusion
    assert ablation.network.channels * 2 == improved.network.channels
    assert ablation.network.model_copy(update={"channels": improved.network.channels}) == improved.network


def test_overrides_merge_mappings_and_replace_lists_and_samplers():
    base = {"a": {"x": 1, "y": [1, 2]}, "samplers": {"ddim": {"steps": [5]}}}
    over = {"a": {"y": [3]}, "samplers": {"plms": {"steps": [10]}}}
    assert merge(base, over) == {"a": {"x": 1, "y": [3]}, "samplers": {"plms": {"steps": [10]}}}


def test_a_one_pass_model_takes_what_its_paper_uses_where_the_study_says_nothing():
    models = {
        kind: resolve(
            kind, Generator(kind=kind), study="s", seeds=(0,), data=SMOKE.data, hardware=SMOKE.hardware,
            evaluation=SMOKE.evaluation, sampling=SMOKE.defaults.sampling,
        )
        for kind in ("dcgan", "wgan-gp", "vae")
    }  # fmt: skip
    found = {kind: (m.training.learning_rate, m.training.beta1, m.training.beta2) for kind, m in models.items()}
    assert found == {"dcgan": (2e-4, 0.5, 0.999), "wgan-gp": (1e-4, 0.0, 0.9), "vae": (1e-3, 0.9, 0.999)}
    assert (models["wgan-gp"].training.critic_steps, models["wgan-gp"].training.gradient_penalty) == (5, 10.0)
    assert [model.label for model in models.values()] == ["DCGAN", "WGAN-GP", "VAE"]


@pytest.mark.parametrize(("side", "fits"), [(8, True), (64, True), (None, True), (4, False), (12, False), (28, False)])
def test_one_pass_models_are_for_sides_that_are_powers_of_two(side: int | None, fits: bool):
    model = load_study(ROOT / "studies" / "smoke.yaml").generators["vae"]
    if fits:
        check_generator(model, side, None)
        return
    with pytest.raises(ValueError, match=f"power of two of at least 8, not {side}"):
        check_generator(model, side, None)


def test_a_study_need_not_have_one_pass_models():
    assert load_study(ROOT / "studies" / "celeba64.yaml").generators == {}


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


def test_the_schema_accepts_the_shipped_studies():
    import json

    import jsonschema

    for path in STUDIES:
        jsonschema.validate(json.loads(json.dumps(read_yaml(path))), json.loads(json_schema()))


def test_a_study_printed_and_read_again_is_the_same(tmp_path: Path):
    loaded = load_study(ROOT / "studies" / "digits.yaml")
    (tmp_path / "again.yaml").write_text(yaml.safe_dump(loaded.study.model_dump(mode="json")))
    assert load_study(tmp_path / "again.yaml") == loaded
