"""What is known of real images is worked out once for all runs, and is what working it out each time would give."""

import dataclasses
import json
import threading
from pathlib import Path

import numpy as np
import pytest

from rediffuse.data.image_set import ImageSet, open_image_set
from rediffuse.evaluation.classes import FeatureClassifier
from rediffuse.evaluation.examination import distance_by_count, nearest_by_space
from rediffuse.evaluation.features import FeatureOptions
from rediffuse.evaluation.frechet import FrechetReference
from rediffuse.evaluation.torchscript import TorchScriptNetwork
from rediffuse.pipeline.context import Context
from rediffuse.runs.real_images import RealImages
from tests.stages.conftest import Counting, judge_of, open_study, smoke_study, with_own_network


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return with_own_network(tmp_path)


@pytest.fixture
def network(context: Context) -> Counting:
    return Counting(TorchScriptNetwork(context.root / "rows.pt", FeatureOptions(), name="torchscript"))


def real_images(context: Context, network: Counting, images: ImageSet | None = None) -> RealImages:
    images = images or open_image_set(context.data_folder)
    return RealImages(context.loaded, context.root, images, network, context.made_by)


def kept(context: Context, name: str) -> list[Path]:
    return sorted((context.root / "state/smoke/_real-images").glob(f"{name}.*.*"))


def test_the_images_of_a_group_are_those_at_its_positions(context: Context, network: Counting):
    real, images = real_images(context, network), open_image_set(context.data_folder)
    for name, group in (("training", real.training), ("held_out", real.held_out)):
        assert np.array_equal(group.images, images.images[real.positions[name]])
        assert group.labels is not None
        assert images.labels is not None
        assert np.array_equal(group.labels, images.labels[real.positions[name]])
        assert np.array_equal(group.features, judge_of(context).network.extract(group.images).features)
        assert (images.held_out[real.positions[name]] == (name == "held_out")).all()
    assert sorted(np.concatenate(list(real.positions.values()))) == list(range(len(images.images)))


def test_what_is_kept_is_what_is_found_anew(context: Context, network: Counting):
    found = judge_of(context).reference
    for _ in range(2):
        real = real_images(context, network)
        assert real.training.labels is not None
        fresh = FeatureClassifier.fit(real.training.features, real.training.labels)
        assert np.array_equal(real.classifier.weights, fresh.weights)
        assert np.array_equal(real.classifier.predict(real.held_out.features), fresh.predict(real.held_out.features))
        for space, near in nearest_by_space(real.held_out, real.training).items():
            assert np.array_equal(real.nearest[space].index, near.index)
            assert np.array_equal(real.nearest[space].distance, near.distance)
        wanted = distance_by_count(real.held_out.features, FrechetReference(found.mu, found.sigma))
        assert real.distance_by_count(found) == json.loads(json.dumps(wanted))


def test_features_are_extracted_once(context: Context, network: Counting):
    for _ in range(3):
        real = real_images(context, network)
        assert len(real.training) + len(real.held_out) == 64
        assert len(real.nearest["features"].index) == len(real.held_out)
    # Those of the training images come from stage `reference`.
    assert network.shown == len(real.held_out) > 0


def test_of_jobs_side_by_side_one_extracts_and_the_others_wait(context: Context, network: Counting):
    jobs = [threading.Thread(target=lambda: real_images(context, network).held_out) for _ in range(4)]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    assert network.shown == len(real_images(context, network).held_out)


@pytest.mark.parametrize("damage", [b"", b"nothing", None])
def test_a_damaged_or_missing_file_is_made_again(context: Context, network: Counting, damage: bytes | None):
    right = real_images(context, network).held_out.features
    [path] = kept(context, "held_out")
    path.unlink()
    if damage is not None:
        path.write_bytes(damage)
    assert np.array_equal(real_images(context, network).held_out.features, right)
    assert network.shown == 2 * len(right)


def test_a_file_cut_short_is_made_again(context: Context, network: Counting):
    right = real_images(context, network).training.features
    [path] = kept(context, "training")
    path.write_bytes(path.read_bytes()[:-100])
    assert np.array_equal(real_images(context, network).training.features, right)


def test_other_settings_make_another_file_in_the_place_of_the_old(context: Context, network: Counting):
    [old] = kept(context, "training")
    content = smoke_study()
    content["evaluation"] |= {"features": "torchscript", "weights": "rows.pt", "batch_size": 64}
    other = open_study(context.root, content)
    assert len(real_images(other, network).training) > 0
    [new] = kept(context, "training")
    assert new != old
    assert network.shown > 0


@pytest.mark.parametrize("change", ["labels", "held_out"])
def test_other_labels_or_another_split_of_the_same_images_are_noticed(context: Context, network: Counting, change: str):
    images = open_image_set(context.data_folder)
    before = real_images(context, network, images)
    assert images.labels is not None
    labels, held_out = (images.labels + 1) % 10, images.held_out.copy()
    held_out[[np.argmax(held_out), np.argmin(held_out)]] ^= True
    other = dataclasses.replace(images, **{"labels": labels} if change == "labels" else {"held_out": held_out})
    after = real_images(context, network, other)
    assert before.classifier.accuracy(before.training.features, before.training.labels) > 0.9
    assert after.classifier.accuracy(after.training.features, after.training.labels) > 0.9
    assert np.array_equal(after.training.features, network.extract(after.training.images).features)


def test_another_reference_is_measured_anew(context: Context, network: Counting):
    found, real = judge_of(context).reference, real_images(context, network)
    before = real.distance_by_count(found)
    moved = dataclasses.replace(found, mu=found.mu + 1, sha256="0" * 64)
    assert real.distance_by_count(moved)["counts"][-1]["value"] != before["counts"][-1]["value"]
    assert len(kept(context, "by-count")) == 1
