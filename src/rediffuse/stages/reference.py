"""Stage `reference`: statistics of the training images in the study's feature network, in a file of their own."""

import torch

from rediffuse.data.image_set import open_image_set
from rediffuse.evaluation.reference import make_reference, save_reference
from rediffuse.progress import Progress
from rediffuse.stages.context import Context, working
from rediffuse.stages.real_images import RealImages
from rediffuse.stages.scoring import SPLIT, feature_network


def reference(context: Context) -> None:
    """Write reference-<features>.npz and its card beside the images."""
    study = context.loaded.study
    torch.set_num_threads(study.hardware.threads)
    with working(context, context.plan.find("reference")):
        image_set = open_image_set(context.data_folder, verify=True)
        network = feature_network(study.evaluation, study.hardware, context.root)
        images, _ = image_set.split(SPLIT)
        with Progress(f"reference {network.name}", "image") as progress:
            features = network.extract(images, study.evaluation.batch_size, progress)
        RealImages(context, image_set, network).keep_training_features(features.features)
        digest = image_set.card["images_sha256"]
        statistics = make_reference(features, dataset=study.data.name, split=SPLIT, images_sha256=digest)
        save_reference(context.data_folder, statistics, network.card)
