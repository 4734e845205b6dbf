"""What an experiment of a study asks for: its cells, the settings that runs are sampled with, and the runs it trains."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from rediffuse.config import LoadedStudy, load_study
from rediffuse.errors import UserError
from rediffuse.runs import facts

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def load(tmp_path: Path):
    """The smoke study with these experiments and no claims."""

    def with_experiments(**experiments: dict[str, Any]) -> LoadedStudy:
        content = yaml.safe_load((ROOT / "studies" / "smoke.yaml").read_text())
        asked = {name.replace("_", "-"): {"question": "What?", **entry} for name, entry in experiments.items()}
        content |= {"experiments": asked, "claims": []}
        (tmp_path / "study.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
        return load_study(tmp_path / "study.yaml")

    return with_experiments


def cells(loaded: LoadedStudy, name: str) -> list[str]:
    return [member.cell for member in loaded.experiments[name].members]


def test_all_values_of_all_axes_are_combined(load):
    grid = load(eta={"vary": {"sampler": ["ddim"], "sampler.eta": [0.5, 1], "steps": [5, 10]}})
    assert grid.experiments["eta"].axes == ("sampler.eta", "steps")
    assert [member.at for member in grid.experiments["eta"].members] == [(0.5, 5), (0.5, 10), (1, 5), (1, 10)]
    assert cells(grid, "eta")[0] == "baseline/ddim-eta-0.5-5"


def test_a_setting_that_the_run_has_already_is_not_made_twice(load):
    # ddim-5 stands in the study's defaults, and DDIM without η has η = 0.
    loaded = load(eta={"vary": {"sampler": ["ddim"], "sampler.eta": [0, 1], "steps": [5]}})
    assert cells(loaded, "eta") == ["baseline/ddim-5", "baseline/ddim-eta-1-5"]
    assert loaded.runs["baseline"].added == ("ddim-eta-1-5",)


def test_settings_of_experiments_are_not_among_those_that_runs_are_compared_by(load):
    loaded = load(more={"vary": {"sampler": ["ancestral"], "steps": [50, 40]}})
    baseline = loaded.runs["baseline"]
    assert "ancestral-40" in [setting for setting, _, _ in facts.settings(baseline)]
    assert "ancestral-40" not in [setting for setting, _, _ in facts.comparable_settings(baseline)]
    assert facts.shown_setting(baseline) == ("ancestral-50", "ancestral", 50)


def test_a_key_of_training_trains_one_run_for_each_value_but_the_one_that_the_run_has(load):
    loaded = load(batch={"vary": {"training.batch_size": [16, 8, 4]}})
    assert cells(loaded, "batch") == ["baseline/ddim-5", "batch-8/ddim-5", "batch-4/ddim-5"]
    assert {name: run.training.batch_size for name, run in loaded.ablations.items()} == {"batch-8": 8, "batch-4": 4}
    assert loaded.ablations["batch-8"].network == loaded.runs["baseline"].network


def test_two_experiments_that_ask_for_the_same_training_share_it(load):
    narrow = {"of": "improved", "arms": {"narrow": {"network": {"channels": 4}}}}
    loaded = load(width={"of": "improved", "vary": {"network.channels": [8, 4]}}, size=narrow)
    assert list(loaded.ablations) == ["width-4"]
    assert cells(loaded, "size") == ["improved/ddim-5", "width-4/ddim-5"]


def test_the_run_that_arms_start_from_is_sampled_as_they_are(load):
    arms = {"narrow": {"network": {"channels": 4}}}
    loaded = load(width={"arms": arms, "samplers": {"plms": {"steps": [7]}}})
    assert cells(loaded, "width") == ["baseline/plms-7", "narrow/plms-7"]
    assert "plms-7" in loaded.runs["baseline"].added


def test_more_seeds_of_a_run_are_trained_beside_it(load):
    loaded = load(spread={"seeds": [0, 1, 2], "samplers": {"ddim": {"steps": [5]}}})
    more = loaded.ablations["baseline-seeds"]
    assert (more.of, more.overrides, more.seeds) == ("baseline", {}, (1, 2))
    assert more.training == loaded.runs["baseline"].training


def test_an_arm_is_sampled_by_the_samplers_that_fit_what_it_predicts(load):
    samplers = {"ddim": {"steps": [5]}, "flow-euler": {"steps": [5]}}
    loaded = load(path={"arms": {"straight": {"diffusion": {"prediction": "velocity"}}}, "samplers": samplers})
    assert cells(loaded, "path") == ["baseline/ddim-5", "straight/flow-euler-5"]


def test_the_experiment_that_the_readme_shows_is_one(load):
    shown = yaml.safe_load((ROOT / "README.md").read_text().split("```yaml\n")[1].split("```")[0])
    loaded = load(**shown["experiments"])
    assert cells(loaded, "stochasticity")[:2] == ["baseline/ddim-5", "baseline/ddim-10"]
    assert loaded.experiments["stochasticity"].axes == ("sampler.eta", "steps")


def test_what_is_not_varied_is_no_axis(load):
    loaded = load(one={"of": ["baseline", "improved"], "vary": {"sampler": ["ddim"], "steps": [5]}})
    assert loaded.experiments["one"].axes == ("run",)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"vary": {"training.batch_size": [16, 8]}, "arms": {"a": {"network": {"channels": 4}}}}, "use one of both"),
        ({"vary": {"evaluation.groups": [1, 2]}}, "'evaluation.groups' cannot be varied"),
        ({"vary": {"steps": [5, 0]}, "samplers": {"ddim": {}}}, "0 is not allowed; use a number from 1 to 50"),
        ({"vary": {"steps": list(range(1, 51)), "sampler.eta": [n / 10 for n in range(11)]}}, "use at most 400"),
        ({"vary": {"sampler": ["plms"]}}, "names no steps"),
        ({"samplers": {"flow-euler": {"steps": [5]}}}, "none of them samples what is asked for"),
    ],
)
def test_an_experiment_that_cannot_be_made_is_refused_in_one_line_that_names_it(load, asked: dict, message: str):
    with pytest.raises(UserError, match=message) as caught:
        load(wrong=asked)
    assert "experiments.wrong." in str(caught.value)
    assert "\n" not in str(caught.value)
