"""Any images against any reference, without a study: `rediffuse evaluate --samples` and `rediffuse statistics`."""

import platform
import shlex
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rediffuse import __version__
from rediffuse.data.array_images import Span, array_headers, array_names, check_room
from rediffuse.data.image_set import open_image_set
from rediffuse.data.image_source import ImageSource, StreamDigest, open_source
from rediffuse.errors import UserError
from rediffuse.evaluation.feature_networks import OWN_RISK
from rediffuse.evaluation.features import FeatureNetwork, FeatureOptions, Features, load_feature_network
from rediffuse.evaluation.reference import Reference, ReferenceIdentity, open_reference, reference_path, write_reference
from rediffuse.evaluation.scoring import Scorer
from rediffuse.evaluation.statistics_files import is_card, open_statistics
from rediffuse.evaluation.streaming import KEEP, extract_batches, running_reference, score_batches, whole_batches
from rediffuse.evaluation.whole import WholeScore
from rediffuse.loose.output import check_output, writing
from rediffuse.progress import Progress

DATA = Path("data")
PUBLISHED_COUNT = 50_000


@dataclass(frozen=True)
class NetworkChoice:
    """A feature network as the command line names it; see `FeatureOptions` for the rest."""

    features: str = "efficientnet-lite0"
    weights: Path | None = None
    weights_sha256: str | None = None
    side: int | None = None
    device: str = "cpu"

    def load(self) -> FeatureNetwork:
        """The network; UserError where the choice does not fit together or weights cannot be had."""
        name = self.features
        if self.device == "cuda" and not torch.cuda.is_available():
            raise UserError("there is no CUDA device here: leave out --device cuda")
        if name == "torchscript":
            if self.weights is None:
                raise UserError("--features torchscript needs --weights FILE, the TorchScript file")
            name = f"torchscript:{self.weights}"
            print(OWN_RISK.format(self.weights), flush=True)
        elif self.weights is not None and not name.startswith("inception"):
            raise UserError(f"--weights is for Inception-v3 and torchscript; {name} brings its own")
        if self.weights_sha256 is not None and not name.startswith("inception"):
            raise UserError("--weights-sha256 is for Inception-v3 weights")
        if self.side is not None and name.startswith("inception"):
            raise UserError("--network-size is for efficientnet-lite0 and torchscript; Inception-v3 takes 299")
        options = FeatureOptions(
            device=self.device,
            resize=FeatureOptions.resize if self.side is None else self.side,
            weights=self.weights,
            weights_sha256=self.weights_sha256,
            download_dir=DATA / "downloads",
        )
        with Progress("feature network weights", "byte") as progress:
            return load_feature_network(name, options, progress)


class _Stream:
    """Some images of a source on their way through the network: batches of features, progress, and a digest."""

    def __init__(self, source: ImageSource, order: np.ndarray, network: FeatureNetwork, batch_size: int, label: str):
        self.source, self.order, self.network, self.label = source, order, network, label
        self.batch_size = whole_batches(batch_size)
        self.digest = StreamDigest(len(order))

    def __iter__(self) -> Iterator[Features]:
        done = 0
        with Progress(self.label, "image") as progress:
            for features in extract_batches(self.network, self._images()):
                done += len(features)
                progress(done, len(self.order))
                yield features

    def _images(self) -> Iterator[np.ndarray]:
        for batch in self.source.batches(self.order, self.batch_size):
            self.digest.update(batch)
            yield batch

    def describe(self) -> dict[str, Any]:
        """What was read, once it has been."""
        return {
            "path": str(self.source.path),
            "kind": self.source.kind,
            "images_there": self.source.count,
            "images_used": len(self.order),
            "shape": list(self.digest.shape or ()),
            "conversions": self.source.described(),
            "images_sha256": self.digest.hexdigest(),
        }


@dataclass(frozen=True)
class Reading:
    """How images are read: batch_size a batch; size, white, span: see `open_source`; keep: features kept, see
    `streaming`.
    """

    batch_size: int = 64
    size: int | None = None
    keep: int = KEEP
    white: int | None = None
    span: Span | None = None

    def __post_init__(self) -> None:
        if self.keep < 2:
            raise UserError(f"--keep must be at least 2 images, not {self.keep}")

    def open(self, path: Path) -> ImageSource:
        """The images of `path`, read so."""
        return open_source(path, size=self.size, white=self.white, span=self.span)


def find_reference(text: str, network: FeatureNetwork, reading: Reading) -> tuple[Reference, dict[str, Any]]:
    """The reference that `text` names, and where it came from: a statistics file, real images,
    or a data set of ours.
    """
    path = Path(text)
    if not path.exists() and len(path.parts) == 1 and not path.suffix:
        path = DATA / text
        if not (path / "card.json").is_file():
            known = ", ".join(sorted(card.parent.name for card in DATA.glob("*/card.json"))) or "none"
            raise UserError(
                f"no reference {text!r}: name a statistics file, a folder or array of real images, or a prepared data "
                f"set (there are: {known})"
            )
    if path.suffix.lower() == ".npz" and path.is_file() and "mu" in array_names(path):
        check_room(path, array_headers(path))
        return open_statistics(path, network), {"path": str(path), "kind": "statistics file"}
    if path.is_dir() and (path / "card.json").is_file() and reference_path(path, network.name).is_file():
        return _of_data_set(path, network), {
            "path": str(reference_path(path, network.name)),
            "kind": "statistics of a data set",
        }
    return compute_reference(path, network, reading)


def _of_data_set(folder: Path, network: FeatureNetwork) -> Reference:
    card = open_image_set(folder).card
    expected = ReferenceIdentity(
        card["name"],
        "train",
        card["train"],
        network.name,
        network.resize,
        network.card["weights_sha256"],
        card["images_sha256"],
    )
    return open_reference(reference_path(folder, network.name), expected)


def compute_reference(
    path: Path, network: FeatureNetwork, reading: Reading, label: str = "reference"
) -> tuple[Reference, dict[str, Any]]:
    """Statistics of all images of `path`, and what was read."""
    source = reading.open(path)
    stream = _Stream(source, np.arange(source.count), network, reading.batch_size, label)
    reference = running_reference(
        stream, source.count, network.dim, dataset=path.resolve().name, split="all", keep=reading.keep
    )
    identity = replace(reference.identity, images_sha256=stream.digest.hexdigest())
    return replace(reference, identity=identity), stream.describe()


def evaluate_images(
    samples: Path,
    reference: str,
    choice: NetworkChoice,
    reading: Reading = Reading(),
    *,
    n: int | None = None,
    groups: int = 1,
    shuffle: int | None = None,
) -> dict[str, Any]:
    """Every metric of the images of `samples` against `reference`, as a record to be written.

    n: images a group, as many as there are if None; groups: disjoint groups, whose spread gives the interval;
    shuffle: number of a fixed shuffle to take the images in, in place of the order of their names.
    """
    if groups < 1:
        raise UserError(f"--groups must be at least 1, not {groups}")
    if n is not None and n < 2:
        raise UserError(f"--n must be at least 2 images a group, not {n}")
    if shuffle is not None and shuffle < 0:
        raise UserError(f"--shuffle must be at least 0, not {shuffle}")
    source = reading.open(samples)
    n = source.count // groups if n is None else n
    if n < 2:
        raise UserError(f"scoring needs at least 2 images a group: {samples} has {source.count} for {groups} groups")
    if n * groups > source.count:
        raise UserError(f"{groups} x {n} images are asked for (--groups, --n), {samples} has {source.count}")
    _deterministic()
    network = choice.load()
    real, origin = find_reference(reference, network, reading)
    order = np.arange(source.count)
    if shuffle is not None:
        order = np.random.Generator(np.random.PCG64(shuffle)).permutation(source.count)
    stream = _Stream(source, order[: n * groups], network, reading.batch_size, "samples")
    scorer = Scorer(real)
    whole = WholeScore(scorer, n * groups)
    passing = _taken_in(whole, stream)
    score = score_batches(scorer, passing, network.dim, group_size=n, groups=groups, keep=reading.keep)
    read = stream.describe()
    return {
        **score,
        "whole": whole.to_dict(),
        "samples": {**read, "order": "sorted" if shuffle is None else f"shuffle {shuffle}"},
        "reference": {**_identity(real), **origin},
        "network": network.card,
        "notes": _notes(network, real, read, n, groups, source.count),
        **_circumstances(choice, reading),
    }


def _taken_in(whole: WholeScore, stream: Iterable[Features]) -> Iterator[Features]:
    for features in stream:
        whole.update(features)
        yield features


def write_statistics(
    images: Path, output: Path, choice: NetworkChoice, reading: Reading = Reading(), *, bare: bool = False
) -> dict[str, Any]:
    """Write the statistics of all images of `images` to `output` (.npz) and their card beside it.

    bare: only mu and sigma, as clean-fid and pytorch-fid write them; else also what kernel distances need.
    """
    check_output(output, ".npz")
    if output.resolve() == images.resolve():
        raise UserError(f"{output} is the file of the images: name another")
    if output.with_suffix(".json").exists() and not is_card(output.with_suffix(".json")):
        raise UserError(f"beside {output} the card {output.with_suffix('.json').name} would replace another file")
    _deterministic()
    network = choice.load()
    reference, origin = compute_reference(images, network, reading, "statistics")
    if bare:
        reference = replace(reference, features=None, class_marginal=None)
    with writing(output):
        reference = write_reference(output, reference, network.card)
    return {**_identity(reference), **origin, "dim": network.dim, "network": network.card}


def _deterministic() -> None:
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True


def _identity(reference: Reference) -> dict[str, Any]:
    kept = 0 if reference.features is None else len(reference.features)
    return {**asdict(reference.identity), "sha256": reference.sha256, "features_kept": kept}


def _notes(
    network: FeatureNetwork, reference: Reference, read: dict[str, Any], n: int, groups: int, there: int
) -> list[str]:
    """What a reader must know beside the numbers."""
    notes = []
    if n <= network.dim:
        notes.append(
            f"{n} images for {network.dim} dimensions: the samples' covariance is singular (rank at most {n - 1}) and "
            f"the Fréchet distance biased upwards; compare it only with distances of {n} images"
        )
    elif network.name.startswith("inception") and n < PUBLISHED_COUNT:
        notes.append(f"published FIDs use {PUBLISHED_COUNT:,} images, these are {n:,}: fewer give a larger distance")
    count = reference.identity.count
    if count is not None and count <= network.dim:
        notes.append(f"the reference is of {count} images for {network.dim} dimensions: its covariance is singular")
    if network.name != "inception-v3":
        notes.append(f"{network.name} features: not comparable with published FIDs")
    elif not network.card.get("published_weights"):
        notes.append("these are not the published Inception-v3 weights: not comparable with published FIDs")
    if n * groups < there:
        notes.append(f"{there - n * groups} of {there} images were left out")
    if reference.identity.images_sha256 == read["images_sha256"]:
        notes.append("the samples are the reference's own images: the distance says nothing of a model")
    return notes


def _circumstances(choice: NetworkChoice, reading: Reading) -> dict[str, Any]:
    """What else it takes to repeat a result."""
    packages = ("clean-fid", "efficientnet-lite-pytorch", "numpy", "pillow", "scipy", "torch")
    return {
        "command": shlex.join(["rediffuse", *sys.argv[1:]]),
        "device": choice.device if choice.device == "cpu" else torch.cuda.get_device_name(),
        "threads": torch.get_num_threads(),
        "batch_size": whole_batches(reading.batch_size),
        "keep": reading.keep,
        "range": reading.span,
        "white": reading.white,
        "versions": {
            "rediffuse": __version__,
            "python": platform.python_version(),
            **{package: version(package) for package in packages},
        },
    }
