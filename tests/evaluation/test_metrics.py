import dataclasses
import json

import pytest

from rediffuse.evaluation import scoring
from rediffuse.evaluation.feature_networks import FEATURE_NETWORKS, LPIPS_LEAST
from rediffuse.evaluation.lpips import TAPS
from rediffuse.evaluation.metrics import KNOWN, METRICS, Metric, facts, metric_short, metric_title
from rediffuse.evaluation.reference import make_reference
from rediffuse.registry import Registry, load


@pytest.mark.parametrize("entry", [*KNOWN.values(), *FEATURE_NETWORKS.values()], ids=lambda entry: entry.name)
def test_every_entry_is_found_where_it_says(entry):
    assert callable(load(entry.reference))


def test_every_network_of_lpips_has_a_least_side():
    assert set(LPIPS_LEAST) == set(TAPS)


@pytest.mark.parametrize(
    ("metric", "features", "title", "short"),
    [
        ("frechet_distance", "inception-v3", "FID", "FID"),
        (
            "frechet_distance",
            "inception-v3-clean",
            "Fréchet distance in Inception-v3 (clean-fid resizing) features",
            "Fréchet distance",
        ),
        ("kid", "torchscript-mine", "kernel distance (KID formula) in torchscript-mine features", "Kernel distance"),
        ("precision", "efficientnet-lite0", "precision", "Precision"),
    ],
)
def test_fid_is_the_name_of_an_inception_metric_only(metric: str, features: str, title: str, short: str):
    assert metric_title(metric, features) == title
    assert metric_short(metric, features) == short


def test_facts_are_plain_values_and_tell_no_code():
    stated = facts()
    assert json.loads(json.dumps(stated)) == stated
    assert stated["metric"]["kid"]["better"] == "lower"
    assert stated["metric of a run"]["bits_per_dim"]["setting"] == "likelihood"
    assert not any("reference" in entry for kind in stated.values() for entry in kind.values())


def test_a_metric_more_is_a_function_and_an_entry(make_features, monkeypatch):
    monkeypatch.setattr(scoring, "count", lambda scorer, features: float(len(features)), raising=False)
    entry = Metric("count", "rediffuse.evaluation.scoring:count", better="higher", title="count", short="Count")
    monkeypatch.setattr(scoring, "METRICS", Registry("metric", *METRICS.values(), entry))
    reference = make_reference(make_features(100, seed=9), dataset="digits", split="train")
    found = scoring.score(make_features(60), reference, group_size=20, groups=3)["metrics"]
    assert (found["count"]["value"], found["count"]["std"]) == (20.0, 0.0)
    assert [*found][:-1] == [*METRICS]


def test_what_decides_is_positional_and_what_is_told_a_keyword():
    assert [field.name for field in dataclasses.fields(Metric) if not field.kw_only] == ["name", "reference"]
