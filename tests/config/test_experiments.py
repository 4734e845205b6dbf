"""What an experiment of a study asks for: its cells, the settings that runs are sampled with,
and the runs it trains.
"""

import inspect
from pathlib import Path
from typing import Any

import pytest
import yaml

from rediffuse.config import LoadedStudy
from rediffuse.config.load import resolve_study
from rediffuse.config.sampled import UNSAID
from rediffuse.config.yaml12 import read_yaml
from rediffuse.errors import UserError
from rediffuse.runs import facts
from rediffuse.samplers.registry import SAMPLERS

ROOT = Path(__file__).resolve().parents[2]


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


def test_precision_trains_anew_and_nothing_else_of_the_hardware_may_vary(load):
    loaded = load(
        axis={"vary": {"hardware.precision": ["float32", "bfloat16"]}, "samplers": {"ddim": {"steps": [5]}}},
        arm={"arms": {"halved": {"hardware": {"precision": "bfloat16"}}}, "samplers": {"ddim": {"steps": [5]}}},
    )
    # Asked for twice, trained once; what the run has already is the run.
    assert cells(loaded, "axis") == cells(loaded, "arm") == ["baseline/ddim-5", "axis-bfloat16/ddim-5"]
    trained, baseline = loaded.ablations["axis-bfloat16"], loaded.runs["baseline"]
    assert trained.overrides == {"hardware": {"precision": "bfloat16"}}
    assert trained.hardware.precision == "bfloat16"
    assert trained.hardware.model_copy(update={"precision": "float32"}) == baseline.hardware == loaded.study.hardware
    with pytest.raises(
        UserError, match=r"experiments\.axis\.vary: 'hardware\.threads' cannot be varied; .*hardware\.pr"
    ):
        load(axis={"vary": {"hardware.threads": [1, 2]}})


def test_clipping_in_sampling_makes_a_run_of_its_own_that_is_trained_as_the_other(load):
    loaded = load(
        axis={"vary": {"sampling.clip": [True, False]}, "samplers": {"ddim": {"steps": [5]}}},
        arm={"arms": {"unclipped": {"sampling": {"clip": False}}}, "samplers": {"ddim": {"steps": [5]}}},
    )
    assert cells(loaded, "axis") == cells(loaded, "arm") == ["baseline/ddim-5", "axis-false/ddim-5"]
    unclipped, baseline = loaded.ablations["axis-false"], loaded.runs["baseline"]
    assert (unclipped.sampling.clip, baseline.sampling.clip) == (False, True)
    assert (unclipped.training, unclipped.network) == (baseline.training, baseline.network)
    with pytest.raises(
        UserError, match=r"experiments\.axis\.vary: 'sampling\.images' cannot be varied; .*sampling\.clip"
    ):
        load(axis={"vary": {"sampling.images": [10, 20]}})


def test_colours_are_measured_of_coloured_images_alone(load):
    with pytest.raises(UserError, match=r"experiments\.hue\.metrics: there is no colour_cast of baseline/ddim-5"):
        load(hue={"vary": {"sampler": ["ddim"], "steps": [5]}, "metrics": ["colour_cast"]})


def test_what_is_trained_has_the_images_of_those_settings_that_it_has():
    content = read_yaml(ROOT / "studies" / "smoke.yaml")
    arms = {"no-time": {"network": {"use_time": False}}}
    content["experiments"] = {"time": {"question": "What?", "arms": arms, "samplers": {"ddim": {"steps": [5]}}}}
    content["claims"] = []
    loaded = resolve_study(content, "study.yaml")
    content["defaults"]["sampling"]["images_of"] = {"ddim-5": 60, "ancestral-5": 80}
    more = resolve_study(content, "study.yaml")
    assert more.runs["baseline"].sampling.images_of == {"ddim-5": 60, "ancestral-5": 80}
    assert more.ablations["no-time"].sampling.images_of == {"ddim-5": 60}
    # Nothing is said where a study says nothing, so that what was made before is as it was.
    assert "images_of" not in loaded.runs["baseline"].sampling.model_dump()
    assert [(part.sampling.images, part.evaluation.groups) for part in facts.by_images(more.runs["baseline"])] == [
        (40, 2),
        (80, 4),
        (60, 3),
    ]


def test_an_option_that_holds_anyway_is_not_in_the_name(load):
    # η of PLMS is none; of DDIM 0 is what holds when nothing is said.
    loaded = load(eta={"vary": {"sampler": ["ddim"], "sampler.eta": [0, 1], "steps": [9]}})
    assert cells(loaded, "eta") == ["baseline/ddim-9", "baseline/ddim-eta-1-9"]
    near = {"sampler": ["plms"], "sampler.initial_temperature": [1, 0.5], "steps": [9]}
    assert cells(load(near={"vary": near}), "near") == ["baseline/plms-9", "baseline/plms-initial-temperature-0.5-9"]


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


def test_a_training_is_shared_whatever_run_it_is_said_to_start_from(load):
    # Smoke's improved run differs from the baseline in these three keys.
    steps = {"schedule": "cosine", "variance": "learned-range", "loss": "hybrid"}
    learned = {"arms": {"learned": {"diffusion": {**steps, "schedule": "linear"}}}}
    loaded = load(learned=learned, schedule={"of": "improved", "vary": {"diffusion.schedule": ["cosine", "linear"]}})
    assert list(loaded.ablations) == ["learned"]
    assert cells(loaded, "schedule") == ["improved/ddim-5", "learned/ddim-5"]
    whole = load(whole={"arms": {"both": {"diffusion": steps}}})
    assert cells(whole, "whole") == ["baseline/ddim-5", "improved/ddim-5"]
    assert whole.ablations == {}


def test_a_way_that_another_run_has_trains_nothing_but_seeds_that_are_new(load):
    both = {"diffusion": {"schedule": "cosine", "variance": "learned-range", "loss": "hybrid"}}
    loaded = load(whole={"arms": {"both": both}, "seeds": [0, 1]})
    assert cells(loaded, "whole") == ["baseline-seeds/ddim-5", "improved-seeds/ddim-5"]
    assert {name: run.seeds for name, run in loaded.ablations.items()} == {
        "baseline-seeds": (1,),
        "improved-seeds": (1,),
    }


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
    ("key", "own", "other"),
    [
        ("network.multipliers", [1, 2], [1, 1]),
        ("network.dropout", 0, 0.5),
        ("training.clip_norm", 1, 2),
        ("training.steps", 60.0, 30),
        ("network.preset", "micro-digits", "d3-small"),
        ("diffusion.schedule", "linear", "cosine"),
    ],
)
def test_the_value_that_the_run_has_is_not_trained_however_it_is_written(load, key: str, own: Any, other: Any):
    loaded = load(one={"vary": {key: [own]}})
    assert cells(loaded, "one") == ["baseline/ddim-5"]
    assert not loaded.ablations


def test_a_key_beside_a_preset_is_that_of_the_axis_though_the_run_has_it_too(load):
    # ho-cifar10-narrow has 64 channels, the run 8.
    networks = {"network.preset": ["light-cifar10"], "network.channels": [8], "network.attention": [[4]]}
    loaded = load(size={"vary": {**networks, "network.multipliers": [[1, 2]], "network.groups": [4]}})
    (trained,) = loaded.ablations.values()
    assert (trained.network.channels, trained.network.block) == (8, "inverted")


def test_trainings_are_one_however_they_are_written(load):
    loaded = load(
        rate={"vary": {"training.learning_rate": [0.002]}},
        fast={"arms": {"fast": {"network": {"channels": 8}, "training": {"learning_rate": 2e-3}}}},
    )
    assert list(loaded.ablations) == ["rate-0-002"]
    assert cells(loaded, "fast") == ["baseline/ddim-5", "rate-0-002/ddim-5"]


def test_an_arm_that_says_what_the_run_has_stands_for_the_run(load):
    arms = {"linear": {"diffusion": {"schedule": "linear"}}, "cosine": {"diffusion": {"schedule": "cosine"}}}
    loaded = load(schedule={"arms": arms})
    assert [(m.at, m.cell) for m in loaded.experiments["schedule"].members] == [
        (("linear",), "baseline/ddim-5"),
        (("cosine",), "cosine/ddim-5"),
    ]


def test_a_shorter_training_is_looked_at_as_long_as_it_lasts(load):
    # The run shows previews at steps 20 and 60.
    loaded = load(length={"vary": {"training.steps": [60, 30]}})
    assert loaded.ablations["length-30"].training.preview_steps == (20,)
    assert loaded.ablations["length-30"].overrides == {"training": {"steps": 30}}


def test_an_arm_with_samplers_of_its_own_is_sampled_by_them_alone(load):
    arms = {"narrow": {"network": {"channels": 4}, "samplers": {"plms": {"steps": [7]}}}}
    loaded = load(width={"arms": arms, "vary": {"sampler": ["ddim"], "steps": [5]}})
    # Steps are an axis of all ways.
    assert cells(loaded, "width") == ["baseline/ddim-5", "narrow/plms-5"]


def test_a_setting_that_only_says_what_holds_anyway_is_the_one_that_the_run_has(load):
    loaded = load(
        plain={"samplers": {"dpm-solver-pp": {"steps": [5]}}},
        order={"vary": {"sampler": ["dpm-solver-pp"], "sampler.order": [1, 2], "steps": [5]}},
        variance={"vary": {"sampler": ["ancestral"], "sampler.variance": ["fixed-large", "fixed-small"], "steps": [5]}},
    )
    assert cells(loaded, "order") == ["baseline/dpm-solver-pp-order-1-5", "baseline/dpm-solver-pp-5"]
    assert cells(loaded, "variance") == ["baseline/ancestral-5", "baseline/ancestral-variance-fixed-small-5"]


@pytest.mark.parametrize(("option", "value"), UNSAID.items())
def test_what_is_taken_to_hold_of_an_option_is_what_its_sampler_does(option: str, value: Any):
    specs = [spec for spec in SAMPLERS.values() if option in spec.options]
    assert specs
    for spec in specs:
        assert inspect.signature(spec.run).parameters[option].default == value


def test_values_that_are_close_have_cells_of_their_own(load):
    values = [0.1234567, 0.1234568, 0.12345681]
    loaded = load(eta={"vary": {"sampler.eta": values}}, rate={"vary": {"training.learning_rate": values}})
    assert len(set(cells(loaded, "eta"))) == len(set(cells(loaded, "rate"))) == 3


def test_other_seeds_of_a_run_have_its_names_of_settings(load):
    loaded = load(spread={"seeds": [0, 1], "vary": {"sampler": ["ddim"], "sampler.eta": [0, 1], "steps": [5]}})
    made = [setting for setting, _, _ in facts.settings(loaded.ablations["baseline-seeds"])]
    assert cells(loaded, "spread") == [f"baseline-seeds/{setting}" for setting in made]
    assert made == ["ddim-5", "ddim-eta-1-5"]


def test_a_tolerance_is_one_axis(load):
    loaded = load(tolerance={"vary": {"sampler": ["ode-adaptive"], "sampler.tolerance": [0.1, 0.01]}})
    assert loaded.experiments["tolerance"].axes == ("sampler.tolerance",)
    assert cells(loaded, "tolerance") == ["baseline/ode-adaptive-tol0.1", "baseline/ode-adaptive-tol0.01"]


def test_a_tolerance_does_not_repeat_a_sampler_that_has_none(load):
    vary = {"sampler": ["ode-adaptive", "ddim"], "sampler.tolerance": [0.1, 0.01], "steps": [5]}
    loaded = load(tolerance={"vary": vary})
    adaptive = ["baseline/ode-adaptive-tol0.1", "baseline/ode-adaptive-tol0.01"]
    assert cells(loaded, "tolerance") == [*adaptive, "baseline/ddim-5"]
