"""Inheritance, resolution and the generated reference of studies."""

from pathlib import Path

import pytest
import yaml

from rediffuse.config import load_study
from rediffuse.config.describe import json_schema, reference_page
from rediffuse.config.study import merge
from rediffuse.config.yaml12 import read_yaml

ROOT = Path(__file__).resolve().parents[2]
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
