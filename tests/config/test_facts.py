"""What `config.facts` says of data sets, samplers and feature networks is what the registries hold."""

import pytest
from rediffuse.config.facts import DATASETS, FEATURE_NETWORKS, LPIPS_LEAST, METRICS, SAMPLERS

from rediffuse.config.sections import Lpips, Sampler
from rediffuse.config.trained import Diffusion, Training
from rediffuse.data.registry import SOURCES, load
from rediffuse.diffusion.objectives import LOSSES, WEIGHTINGS
from rediffuse.diffusion.schedules import SCHEDULES
from rediffuse.evaluation.feature_networks import FEATURE_NETWORKS as NETWORKS
from rediffuse.evaluation.feature_networks import LPIPS_LEAST as LEAST
from rediffuse.evaluation.metrics import METRICS as SCORES
from rediffuse.samplers.registry import SAMPLERS as REGISTRY


def choices(section: type, field: str) -> set[str]:
    return set(section.model_fields[field].annotation.__args__)  # type: ignore[attr-defined]


def test_data_sets_are_those_of_the_registry():
    assert set(DATASETS) == set(SOURCES)


@pytest.mark.parametrize("name", ["digits", "smoke"])
def test_facts_of_the_embedded_data_sets_are_those_of_their_images(name: str):
    images, facts = load(name), DATASETS[name]
    assert (facts.channels, facts.image_size, facts.image_size) == images.shape
    assert (facts.images, facts.held_out) == (len(images), images.held_out.sum())


def test_samplers_are_those_of_the_registry_for_trained_denoisers_with_their_options():
    # One that chooses its own steps has no place in a table by steps.
    assert set(SAMPLERS) == {name for name, spec in REGISTRY.items() if spec.evaluations is not None}
    for name, facts in SAMPLERS.items():
        assert facts.eta == ("eta" in REGISTRY[name].options)
        assert facts.variance == REGISTRY[name].uses_variance
        assert facts.flow == (REGISTRY[name].path == "interpolant")


def test_feature_networks_are_those_of_the_registry_and_a_file_of_ones_own():
    assert set(FEATURE_NETWORKS) == set(NETWORKS)


def test_metrics_are_those_that_are_computed():
    assert set(METRICS) == set(SCORES)


def test_choices_of_the_objective_are_those_of_the_library():
    assert choices(Diffusion, "schedule") == set(SCHEDULES)
    assert choices(Diffusion, "loss") == set(LOSSES)
    assert choices(Diffusion, "weighting") == set(WEIGHTINGS)


def test_training_settings_are_fields_of_the_trainer():
    from dataclasses import fields

    from rediffuse.training import TrainingConfig

    assert set(Training.model_fields) <= {field.name for field in fields(TrainingConfig)}


def test_spacings_are_those_that_respacing_knows():
    from rediffuse.diffusion.schedules import respaced_timesteps

    for spacing in choices(Sampler, "spacing"):
        assert len(respaced_timesteps(1000, 10, spacing)) == 10


def test_the_least_sides_of_lpips_are_those_of_its_networks():
    assert LPIPS_LEAST == LEAST
    assert choices(Lpips, "network") == set(LEAST)
