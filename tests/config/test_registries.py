"""Registries name code as text: looking a name up imports nothing, and what is named is there."""

import importlib
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import pytest

from rediffuse.config.sections import LpipsWeights, Sampler
from rediffuse.config.study import Kind
from rediffuse.config.trained import Diffusion
from rediffuse.data.registry import SOURCES
from rediffuse.data.registry import load as load_data
from rediffuse.diffusion.objectives import LOSSES, WEIGHTINGS
from rediffuse.diffusion.schedules import SCHEDULES, respaced_timesteps
from rediffuse.evaluation.feature_networks import LPIPS_LEAST
from rediffuse.models.registry import MODELS
from rediffuse.registry import Registry, load

SRC = Path(__file__).resolve().parents[2] / "src"
LAZY = ("diffusion", "training", "models", "data", "samplers")


def registries() -> dict[str, Registry[Any]]:
    """Every registry of the library, by where it stands."""
    found = {}
    for path in sorted(SRC.rglob("rediffuse/**/*.py")):
        names = re.findall(r"^(\w+)\b.*= Registry\(", path.read_text(), re.MULTILINE)
        module = ".".join(path.relative_to(SRC).with_suffix("").parts)
        found |= {f"{module}.{name}": getattr(importlib.import_module(module), name) for name in names}
    return found


def choices(section: type, field: str) -> set[str]:
    return set(get_args(section.model_fields[field].annotation))  # type: ignore[attr-defined]


@pytest.mark.parametrize("heavy", ["torch", "numpy", "pandas"])
def test_reading_a_study_loads_nothing_heavy(heavy: str):
    code = (
        "import sys; from rediffuse.config import load_study; load_study('studies/smoke.yaml'); "
        f"print({heavy!r} in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "False\n"


def test_every_reference_of_a_registry_is_to_something_that_is_there():
    references = {
        (where, entry.name, value)
        for where, registry in registries().items()
        for entry in registry.values()
        for value in vars(entry).values()
        if isinstance(value, str) and re.fullmatch(r"[a-z_]+(\.[a-z_0-9]+)+:\w+", value)
    }
    assert {where.rpartition(".")[2] for where, _, _ in references} >= {"SAMPLERS", "SOURCES", "METRICS", "MODELS"}
    for _, _, reference in references:
        assert callable(load(reference)), reference


@pytest.mark.parametrize("package", LAZY)
def test_every_name_that_a_package_passes_on_is_there(package: str):
    module = importlib.import_module(f"rediffuse.{package}")
    assert [name for name in module.__all__ if not hasattr(module, name)] == []


@pytest.mark.parametrize("name", ["digits", "smoke"])
def test_facts_of_the_embedded_data_sets_are_those_of_their_images(name: str):
    images, facts = load_data(name), SOURCES[name]
    assert (facts.channels, facts.image_size, facts.image_size) == images.shape
    assert (facts.images, facts.held_out) == (len(images), images.held_out.sum())
    assert facts.classes == len(images.class_names)


def test_a_study_may_name_every_kind_of_model():
    assert set(get_args(Kind)) == set(MODELS)


def test_whatever_depends_on_the_kind_of_model_knows_all_that_it_is_asked_for():
    bounded = {name for name, model in MODELS.items() if model.bound}
    ways = {where: set(found) for where, found in registries().items() if found.keys() & MODELS.keys()}
    assert ways.pop("rediffuse.stages.nll.WAYS") == bounded
    # Beside training there is taking weights that were trained elsewhere.
    assert ways.pop("rediffuse.stages.train.WAYS") == {*MODELS, "weights"}
    assert {where: found ^ set(MODELS) for where, found in ways.items()} == {where: set() for where in ways}


@pytest.mark.parametrize(
    ("field", "known"), [("schedule", SCHEDULES), ("loss", LOSSES), ("weighting", WEIGHTINGS)], ids=lambda value: None
)
def test_choices_of_the_objective_are_those_of_the_library(field: str, known: tuple[str, ...]):
    assert choices(Diffusion, field) == set(known)


def test_spacings_are_those_that_respacing_knows():
    for spacing in choices(Sampler, "spacing"):
        assert len(respaced_timesteps(1000, 10, spacing)) == 10


def test_every_network_of_lpips_has_a_least_side():
    assert choices(LpipsWeights, "network") == set(LPIPS_LEAST)
