"""Batches are a function of (seed, step)."""

import numpy as np
import pytest
import torch

from rediffuse.diffusion.pixels import to_unit_range
from rediffuse.errors import UserError
from rediffuse.training.batches import Batches

IMAGES = np.arange(10, dtype=np.uint8)[:, None, None, None] * np.ones((1, 1, 2, 2), dtype=np.uint8)


def make(batch_size: int = 4, seed: int = 0, **options) -> Batches:
    return Batches(IMAGES, np.arange(10), batch_size=batch_size, seed=seed, **options)


def test_each_epoch_shows_every_image_once_across_batch_borders() -> None:
    batches = make()
    shown = torch.cat([batches.indices(step) for step in range(5)])
    assert [sorted(shown[start : start + 10].tolist()) for start in (0, 10)] == [list(range(10))] * 2


def test_epochs_differ_in_their_order() -> None:
    batches = make(batch_size=10)
    assert not torch.equal(batches.indices(0), batches.indices(1))


def test_a_batch_does_not_depend_on_the_batches_before_it() -> None:
    ahead = make()
    sequence = [ahead.indices(step) for step in range(8)]
    assert all(torch.equal(make().indices(step), sequence[step]) for step in (7, 2, 5))


def test_a_batch_larger_than_the_data_runs_through_several_epochs() -> None:
    counts = torch.bincount(make(batch_size=25).indices(0), minlength=10)
    assert counts.sum() == 25
    assert set(counts.tolist()) == {2, 3}


def test_another_seed_gives_another_order() -> None:
    assert not torch.equal(make(batch_size=10).indices(0), make(batch_size=10, seed=1).indices(0))


def test_labels_go_with_their_images() -> None:
    batch = make()(3)
    values = ((batch.images[:, 0, 0, 0] + 1) * 127.5).round().long()
    assert torch.equal(values, batch.labels)


def test_pixels_span_minus_one_to_one() -> None:
    assert to_unit_range(torch.tensor([[[[0, 255]]]], dtype=torch.uint8)).tolist() == [[[[-1.0, 1.0]]]]


def test_flips_mirror_about_half_of_the_images_and_leave_the_rest() -> None:
    images = np.zeros((400, 1, 1, 2), dtype=np.uint8)
    images[..., 1] = 255
    left = Batches(images, None, batch_size=400, seed=0, flip=True)(0).images[:, 0, 0, 0]
    assert 0.4 < (left == 1.0).float().mean() < 0.6
    assert set(left.tolist()) == {-1.0, 1.0}


def test_flips_depend_on_the_step_alone() -> None:
    one, other = make(flip=True), make(flip=True)
    one(0)
    assert torch.equal(one(3).images, other(3).images)


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (IMAGES.astype(np.float32), None, "must be uint8"),
        (IMAGES[:, 0], None, "shape"),
        (IMAGES[:0], None, "shape"),
        (IMAGES, np.arange(9), "9 labels for 10 images"),
    ],
)
def test_data_that_do_not_fit_are_refused(images: np.ndarray, labels: np.ndarray | None, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Batches(images, labels, batch_size=2, seed=0)
