"""What a study's real images are to its feature network: the same for every run, so worked out once and kept in state/.

A file's name carries the digest of all that it follows from: images, labels, split, feature network, hardware settings,
code and versions of what computes. One that is missing or damaged is made again, and takes the place of one that
followed from something else.
"""

import fcntl
import json
from collections.abc import Callable
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from rediffuse.arrays import read_arrays, write_arrays
from rediffuse.config import LoadedStudy
from rediffuse.data.image_set import ImageSet, images_digest
from rediffuse.evaluation.classes import FeatureClassifier
from rediffuse.evaluation.examination import ImageGroup, distance_by_count, nearest_by_space
from rediffuse.evaluation.features import FeatureNetwork
from rediffuse.evaluation.frechet import FrechetReference
from rediffuse.evaluation.neighbours import Neighbours
from rediffuse.evaluation.reference import Reference
from rediffuse.files import digest, remove
from rediffuse.progress import Progress

Arrays = dict[str, np.ndarray]


class RealImages:
    """The training and held-out images of a study with their features, and what is compared with every run.

    positions: where the images of each group lie in images.npy.
    """

    def __init__(
        self, loaded: LoadedStudy, root: Path, images: ImageSet, network: FeatureNetwork, made_by: str
    ) -> None:
        study = loaded.study
        self._images, self._network = images, network
        self._batch_size = study.evaluation.batch_size
        self.positions = {
            "training": images.indices("train"),
            # Held-out images may lie sorted by class; a fixed shuffle makes the first of them a sample of all.
            "held_out": np.random.Generator(np.random.PCG64(0)).permutation(images.indices("held-out")),
        }
        self._follows_from = digest(
            {
                "images": images.card,
                "classes": images.class_names,
                "labels": None if images.labels is None else images_digest(images.labels),
                "held_out": images_digest(images.held_out),
                "network": network.card,
                "batch_size": self._batch_size,
                "hardware": study.hardware.model_dump(mode="json"),
                "made by": made_by,
            }
        )
        # No run can be called so, whose own state would lie there.
        self._folder = root / "state" / study.study / "_real-images"

    @cached_property
    def training(self) -> ImageGroup:
        """The images that models are trained on, in their order."""
        return self._group("training")

    @cached_property
    def held_out(self) -> ImageGroup:
        """The images that no model has seen, in random order."""
        return self._group("held_out")

    def keep_training_features(self, features: np.ndarray) -> None:
        """Keep the features [N, dim] of all training images, in their order, from where they have been extracted."""
        self._arrays("training", lambda: {"features": features})

    @cached_property
    def classifier(self) -> FeatureClassifier:
        """A classifier of features, trained on the training images."""

        def fit() -> Arrays:
            assert self.training.labels is not None
            return asdict(FeatureClassifier.fit(self.training.features, self.training.labels))

        return FeatureClassifier(**self._arrays("classifier", fit))

    @cached_property
    def nearest(self) -> dict[str, Neighbours]:
        """The nearest training image of every held-out one, in "pixels" and in "features"."""

        def search() -> Arrays:
            found = nearest_by_space(self.held_out, self.training)
            return {f"{space}_{name}": array for space, near in found.items() for name, array in asdict(near).items()}

        kept = self._arrays("nearest", search)
        return {
            space: Neighbours(kept[f"{space}_index"], kept[f"{space}_distance"]) for space in ("pixels", "features")
        }

    def distance_by_count(self, reference: Reference) -> dict[str, Any]:
        """`examination.distance_by_count` of the held-out images, for as long as the saved `reference` is the same."""

        def count() -> Arrays:
            gaussian = FrechetReference(reference.mu, reference.sigma)
            return {"found": np.array(json.dumps(distance_by_count(self.held_out.features, gaussian)))}

        return json.loads(str(self._arrays("by-count", count, reference.sha256)["found"]))

    def _group(self, name: str) -> ImageGroup:
        positions, labels = self.positions[name], self._images.labels
        images = self._images.images[positions]

        def extract() -> Arrays:
            with Progress(f"features of {name.replace('_', '-')} images", "image") as progress:
                return {"features": self._network.extract(images, self._batch_size, progress).features}

        features = self._arrays(name, extract)["features"]
        return ImageGroup(images, features, None if labels is None else labels[positions])

    def _arrays(self, name: str, make: Callable[[], Arrays], *more: str | None) -> Arrays:
        """The arrays of a file, or those that `make` makes for it: of jobs side by side one does, the others wait.

        Its name has a digest of what all files follow from and of `more`.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / f"{name}.lock").open("w") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            path = self._folder / f"{name}.{digest([self._follows_from, *more])[:16]}.npz"
            if (arrays := read_arrays(path)) is None:
                arrays = make()
                write_arrays(path, **arrays)
            for other in self._folder.glob(f"{name}.*.npz"):
                if other != path:
                    remove(other)
            return arrays
