"""What a study may say of a run whose weights were trained elsewhere."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from rediffuse.config import LoadedStudy, load_study
from rediffuse.errors import UserError
from rediffuse.pipeline.plan import make_plan

SMOKE = Path(__file__).resolve().parents[2] / "studies" / "smoke.yaml"
WEIGHTS = {"folder": "weights/some", "sha256": "f" * 64}


def study(folder: Path, run: dict[str, Any], sampler: dict[str, Any] | None = None) -> LoadedStudy:
    """The smoke study, its baseline being one of imported weights."""
    values = yaml.safe_load(SMOKE.read_text())
    values["runs"]["baseline"] |= run
    if sampler is not None:
        values["runs"] = {"baseline": values["runs"]["baseline"]}
        values["defaults"]["sampling"]["samplers"] = {"ddim": sampler}
        values["experiments"], values["claims"] = {}, []
    (folder / "study.yaml").write_text(yaml.safe_dump(values))
    return load_study(folder / "study.yaml")


def test_the_key_of_taking_weights_follows_from_their_digest_and_not_from_their_folder(tmp_path: Path) -> None:
    def key(**changes: str) -> str:
        return make_plan(study(tmp_path, {"weights": WEIGHTS | changes})).find("train", "baseline", 0).key

    assert key() == key(folder="elsewhere")
    assert key() != key(sha256="e" * 64)


def test_runs_that_are_trained_keep_their_keys_when_another_takes_weights(tmp_path: Path) -> None:
    before, after = (make_plan(study(tmp_path, run)).find("train", "improved", 0) for run in ({}, {"weights": WEIGHTS}))
    assert before.key == after.key


def test_a_run_of_taken_weights_has_no_previews(tmp_path: Path) -> None:
    outputs = make_plan(study(tmp_path, {"weights": WEIGHTS})).find("train", "baseline", 0).outputs
    assert [path.name for path in outputs] == ["run.yaml", "weights.safetensors", "history.csv"]


@pytest.mark.parametrize("digest", ["abc", "F" * 64])
def test_a_digest_that_is_none_is_refused(tmp_path: Path, digest: str) -> None:
    with pytest.raises(UserError, match=r"runs.baseline.weights.sha256: .* is no SHA-256"):
        study(tmp_path, {"weights": {**WEIGHTS, "sha256": digest}})


def test_guidance_needs_weights_that_also_know_no_class(tmp_path: Path) -> None:
    conditional = {"network": {"class_conditional": True}}
    sampler = {"steps": [5], "guidance": 3.0}
    knowing = {**WEIGHTS, "knows_no_class": True}
    assert study(tmp_path, {**conditional, "weights": knowing}, sampler).runs["baseline"].weights is not None
    with pytest.raises(UserError, match=r"samplers.ddim.guidance: 3.0 .* weights.knows_no_class is false"):
        study(tmp_path, {**conditional, "weights": WEIGHTS}, sampler)
