"""What the stages that score images share: the study's feature network and its reference."""

from pathlib import Path
from typing import Any

import numpy as np

from rediffuse.config import ResolvedRun
from rediffuse.config.sections import Evaluation, Hardware
from rediffuse.data import ImageSet, open_image_set
from rediffuse.evaluation.features import FeatureNetwork, FeatureOptions, load_feature_network
from rediffuse.evaluation.reference import Reference, ReferenceIdentity, open_reference, reference_path
from rediffuse.evaluation.scoring import Scorer
from rediffuse.progress import Progress
from rediffuse.stages.context import Context

SPLIT = "train"


def feature_network(evaluation: Evaluation, hardware: Hardware, data: Path) -> FeatureNetwork:
    """The study's feature network, its weights from the given file or fetched into data/downloads."""
    weights = Path(evaluation.weights) if evaluation.weights else None
    options = FeatureOptions(device=hardware.device, weights=weights, download_dir=data / "downloads")
    name = evaluation.features
    if name == "torchscript":
        name = f"torchscript:{evaluation.weights}"
    with Progress("feature network weights", "byte") as progress:
        return load_feature_network(name, options, progress)


class Judge:
    """Scores images of one study: feature network, reference and group sizes held together."""

    def __init__(self, context: Context) -> None:
        study = context.loaded.study
        self.evaluation = study.evaluation
        self.images: ImageSet = open_image_set(context.data_folder)
        self.network = feature_network(study.evaluation, study.hardware, context.root / "data")
        card = self.images.card
        expected = ReferenceIdentity(
            dataset=study.data.name,
            split=SPLIT,
            count=card["train"],
            network=self.network.name,
            resize=self.network.resize,
            images_sha256=card["images_sha256"],
        )
        self.reference: Reference = open_reference(reference_path(context.data_folder, self.network.name), expected)
        self.scorer = Scorer(self.reference)

    def score(self, images: np.ndarray, groups: int, label: str) -> dict[str, Any]:
        """Metrics of the first `groups` groups of `images`."""
        n = self.evaluation.group_size
        with Progress(label, "image") as progress:
            features = self.network.extract(images[: n * groups], self.evaluation.batch_size, progress)
        return self.scorer.score(features, group_size=n, groups=groups)


def metrics_record(run: ResolvedRun, seed: int, setting: str, key: str, steps: int, nfe: int | None) -> dict[str, Any]:
    """What a metrics file says of a setting besides its numbers."""
    sampler = run.sampling.samplers[key]
    return {
        "study": run.study,
        "run": run.name,
        "role": run.role,
        "seed": seed,
        "setting": setting,
        "sampler": key,
        "kind": sampler.kind or key,
        "steps": steps,
        "eta": sampler.eta,
        "variance": sampler.variance or run.diffusion.variance,
        "nfe": nfe,
    }
