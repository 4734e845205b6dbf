"""What scores images: the study's feature network and its reference."""

import math
from collections.abc import Iterator
from dataclasses import asdict
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from rediffuse.arrays import read_arrays, write_arrays
from rediffuse.config import LoadedStudy, ResolvedRun
from rediffuse.config.sampling import Pace
from rediffuse.config.sections import Evaluation, Hardware
from rediffuse.data.image_set import ImageSet, images_digest, open_image_set
from rediffuse.download import OnProgress
from rediffuse.evaluation.classes import class_diversity
from rediffuse.evaluation.colours import ColourStatistics, colour_statistics
from rediffuse.evaluation.feature_networks import FEATURE_NETWORKS
from rediffuse.evaluation.features import FeatureNetwork, FeatureOptions, Features, joined, load_feature_network
from rediffuse.evaluation.intervals import grouped
from rediffuse.evaluation.reference import (
    Reference,
    ReferenceIdentity,
    make_reference,
    open_reference,
    reference_path,
    save_reference,
)
from rediffuse.evaluation.scoring import Scorer
from rediffuse.evaluation.streaming import whole_batches
from rediffuse.evaluation.whole import whole_score
from rediffuse.files import digest
from rediffuse.progress import Progress
from rediffuse.registry import load
from rediffuse.runs import facts
from rediffuse.runs.real_images import RealImages

SPLIT = "train"
# Images whose features are kept together for a job that is stopped, and beyond the groups are in memory at once.
_AT_ONCE = 1024


def feature_network(evaluation: Evaluation, hardware: Hardware, root: Path) -> FeatureNetwork:
    """The study's feature network, its weights from the file it names (from `root`) or fetched into data/downloads."""
    weights = root / evaluation.weights if evaluation.weights else None
    options = FeatureOptions(
        device=hardware.device,
        weights=weights,
        weights_sha256=evaluation.weights_sha256,
        download_dir=root / "data" / "downloads",
    )
    if evaluation.features == "torchscript":
        # The plan names the reference after the study's `features`; which file it is, the digest in the keys says.
        return load(FEATURE_NETWORKS[evaluation.features].reference)(weights, options, name=evaluation.features)
    with Progress("feature network weights", "byte") as progress:
        return load_feature_network(evaluation.features, options, progress)


def write_reference(loaded: LoadedStudy, root: Path, made_by: str) -> None:
    """Write the reference statistics of the training images, and their card, beside the images;
    `made_by`: see Judge.
    """
    study, folder = loaded.study, root / "data" / loaded.study.data.name
    image_set = open_image_set(folder, verify=True)
    network = feature_network(study.evaluation, study.hardware, root)
    images, _ = image_set.split(SPLIT)
    with Progress(f"reference {network.name}", "image") as progress:
        features = network.extract(images, study.evaluation.batch_size, progress)
    RealImages(loaded, root, image_set, network, made_by).keep_training_features(features.features)
    digest = image_set.card["images_sha256"]
    statistics = make_reference(features, dataset=study.data.name, split=SPLIT, images_sha256=digest)
    save_reference(folder, statistics, network.card)


class Judge:
    """Scores images of one study: feature network, reference and group sizes held together.

    made_by: digest of the code and versions that compute, for what is kept of the real images.
    state: folder in which features of many images are kept for a job that is stopped and begun again, where it is
        given; whoever gives it deletes it.
    """

    def __init__(self, loaded: LoadedStudy, root: Path, made_by: str, state: Path | None = None) -> None:
        study, self._state, self._made_by = loaded.study, state, made_by
        self.evaluation, folder = study.evaluation, root / "data" / study.data.name
        self.images: ImageSet = open_image_set(folder)
        self.network = feature_network(study.evaluation, study.hardware, root)
        self.real = RealImages(loaded, root, self.images, self.network, made_by)
        card = self.images.card
        expected = ReferenceIdentity(
            dataset=study.data.name,
            split=SPLIT,
            count=card["train"],
            network=self.network.name,
            resize=self.network.resize,
            images_sha256=card["images_sha256"],
        )
        self.reference: Reference = open_reference(reference_path(folder, self.network.name), expected)
        self.scorer = Scorer(self.reference)

    def score(self, images: np.ndarray, groups: int, label: str) -> dict[str, Any]:
        """Metrics of the first `groups` groups of `images`, one value of all images (`WholeScore`), and the colours of
        the groups if they have any (see `colours`).
        """
        n = self.evaluation.group_size
        grouped_images, rest = images[: n * groups], images[n * groups :]
        features = self.features(grouped_images, label)
        record = self.scorer.score(features, group_size=n, groups=groups)
        return {**record, "whole": self._whole(features, rest, label), "colours": self.colours(grouped_images)}

    def _whole(self, features: Features, rest: np.ndarray, label: str) -> dict[str, Any]:
        """`WholeScore` of images whose features are there, and of the rest."""

        def others() -> Iterator[Features]:
            with Progress(f"{label}, beyond the groups", "image") as progress:
                for start in range(0, len(rest), _AT_ONCE):
                    yield self.features(rest[start : start + _AT_ONCE], None)
                    progress(min(start + _AT_ONCE, len(rest)), len(rest))

        return whole_score(self.scorer, chain([features], others()), len(features) + len(rest))

    def colours(self, images: np.ndarray) -> dict[str, Any] | None:
        """`ColourStatistics` of images uint8 [N, C, H, W], and their cast: the distance of their mean colour from that
        of all held-out images, channels in [0, 1]. None for grey images.
        """
        if images.shape[1] != 3:
            return None
        found = colour_statistics(images)
        return {**asdict(found), "cast": math.dist(found.mean, self._real_colours.mean)}

    def values(self, images: np.ndarray, label: str | None = None) -> dict[str, float]:
        """Each metric of all `images` as one group, and of coloured ones two numbers of their colours; those that
        cannot be computed are left out.

        colour_cast: see `colours`; hue_agreement: see `ColourStatistics.hue_across`.
        """
        record = self.scorer.score(self.features(images, label), group_size=len(images), groups=1)
        found = {name: metric["value"] for name, metric in record["metrics"].items()}
        if (colours := self.colours(images)) is not None:
            found |= {"colour_cast": colours["cast"], "hue_agreement": colours["hue_across"]}
        return {name: value for name, value in found.items() if value is not None}

    @cached_property
    def _real_colours(self) -> ColourStatistics:
        return colour_statistics(self.images.split("held-out")[0])

    def score_classes(self, images: np.ndarray, labels: np.ndarray, groups: int, label: str) -> dict[str, Any]:
        """`score`, with the class metrics of images that were asked for by label, and what real images score there."""
        n = self.evaluation.group_size
        images, rest = images[: n * groups], images[n * groups :]
        features = self.features(images, label)
        record = self.scorer.score(features, group_size=n, groups=groups)
        parts = [slice(g * n, (g + 1) * n) for g in range(groups)]
        for name, metric in (("class_accuracy", self.real.classifier.accuracy), ("class_diversity", class_diversity)):
            values = [metric(features.features[part], labels[part]) for part in parts]
            record["metrics"][name] = grouped(values, n).to_dict()
        whole = self._whole(features, rest, label)
        return {**record, "whole": whole, "colours": self.colours(images), "real_classes": self._real_classes}

    @cached_property
    def _real_classes(self) -> dict[str, float | int]:
        """Accuracy and diversity of held-out real images."""
        held_out = self.real.held_out
        assert held_out.labels is not None
        return {
            "class_accuracy": self.real.classifier.accuracy(held_out.features, held_out.labels),
            "class_diversity": class_diversity(held_out.features, held_out.labels),
            "n": len(held_out),
        }

    def features(self, images: np.ndarray, label: str | None) -> Features:
        """Features of images uint8 [N, C, H, W], with progress under `label` if there is one."""
        batch = whole_batches(self.evaluation.batch_size)
        size, parts = max(1, _AT_ONCE // batch) * batch, []
        with Progress(label or "", "image", enabled=label is not None) as progress:
            for start in range(0, max(1, len(images)), size):

                def done(count: int, total: int, before: int = start) -> None:
                    progress(before + count, len(images))

                parts.append(self._kept(images[start : start + size], done))
        return joined(parts)

    def _kept(self, images: np.ndarray, progress: OnProgress) -> Features:
        """The features of at most _AT_ONCE images, from the state folder if they are there."""
        network, batch = self.network, self.evaluation.batch_size
        if self._state is None or len(images) + batch <= _AT_ONCE:  # so few are soon had again
            return network.extract(images, batch, progress)
        follows_from = [images_digest(images), network.card, batch, self._made_by]
        path = self._state / f"{digest(follows_from)[:32]}.npz"
        if (kept := read_arrays(path)) is not None:
            progress(len(images), len(images))
            card = network.card
            return Features(
                kept["features"], kept.get("probabilities"), card["name"], card["resize"], card["weights_sha256"]
            )
        features = network.extract(images, batch, progress)
        parts = {"features": features.features, "probabilities": features.probabilities}
        write_arrays(path, **{name: part for name, part in parts.items() if part is not None})
        return features


def metrics_record(run: ResolvedRun, seed: int, setting: str, key: str, pace: Pace, nfe: int | None) -> dict[str, Any]:
    """What a metrics file says of a setting besides its numbers."""
    return {
        "study": run.study,
        "run": run.name,
        "role": run.role,
        "seed": seed,
        "setting": setting,
        "sampler": key,
        "steps": pace if isinstance(pace, int) else None,
        "nfe": nfe,
        **facts.describe(run, key),
    }
