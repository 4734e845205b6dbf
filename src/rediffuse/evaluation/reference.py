"""Reference statistics: what the real images look like to a feature network, computed once and kept in a file."""

import json
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from rediffuse.arrays import write_arrays
from rediffuse.errors import UserError
from rediffuse.evaluation.features import Features
from rediffuse.evaluation.frechet import moments
from rediffuse.files import kind_of_file, sha256
from rediffuse.formats import write_json

_AGAIN = "run `rediffuse reference` to make it"
_ARRAYS = ("mu", "sigma", "features", "class_marginal")
_SYMMETRY, _DEFINITE = 1e-5, 1e-6


@dataclass(frozen=True)
class ReferenceIdentity:
    """What a reference was made from: two references are interchangeable only if all of this agrees.

    split: "train", "held-out" or "all"; count: images used; network, resize and weights_sha256: the feature network;
    images_sha256: digest of the data set's images. None stands for unknown.
    """

    dataset: str
    split: str
    count: int | None
    network: str
    resize: str
    weights_sha256: str | None = None
    images_sha256: str | None = None


@dataclass(frozen=True, eq=False)
class Reference:
    """Statistics of real images in one feature space.

    mu: float64 [dim]; sigma: float64 [dim, dim], divisor N − 1; features: float32 [≤ N, dim] for the kernel distance;
    class_marginal: float64 [K], mean class probabilities; both None where the file has none.
    sha256: digest of the file, None before it is saved.
    """

    identity: ReferenceIdentity
    mu: np.ndarray
    sigma: np.ndarray
    features: np.ndarray | None = None
    class_marginal: np.ndarray | None = None
    sha256: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """The form kept in a metrics file."""
        identity = self.identity
        return {
            "dataset": identity.dataset,
            "split": identity.split,
            "count": identity.count,
            "sha256": self.sha256,
        }


def make_reference(
    features: Features, *, dataset: str, split: str, images_sha256: str | None = None, keep: int = 10_000
) -> Reference:
    """Reference of all `features`; at most `keep` of them (evenly spaced) are kept for the kernel distance."""
    if len(features) < 2:
        raise UserError(f"reference statistics need at least 2 images; {dataset}/{split} has {len(features)}")
    identity = ReferenceIdentity(
        dataset, split, len(features), features.network, features.resize, features.weights_sha256, images_sha256
    )
    mu, sigma = moments(features.features)
    kept = features.features
    if len(kept) > keep:
        kept = kept[np.arange(keep) * len(kept) // keep]
    marginal = None
    if features.probabilities is not None:
        marginal = features.probabilities.mean(0, dtype=np.float64)
    return Reference(identity, mu, sigma, np.ascontiguousarray(kept, dtype=np.float32), marginal)


def reference_path(folder: str | Path, network: str) -> Path:
    """Where the reference of the feature network called `network` is kept inside a data set's folder."""
    return Path(folder) / f"reference-{network}.npz"


def save_reference(folder: str | Path, reference: Reference, network_card: dict[str, Any] | None = None) -> Reference:
    """Write reference-<network>.npz and its card reference-<network>.json; give it back with its file's digest."""
    return write_reference(reference_path(folder, reference.identity.network), reference, network_card)


def write_reference(path: Path, reference: Reference, network_card: dict[str, Any] | None = None) -> Reference:
    """Write the npz file `path` and, beside it, its card of the same name; give it back with its file's digest.

    clean-fid and pytorch-fid read such a file too: they take mu and sigma and leave the rest alone.
    """
    identity = reference.identity
    arrays = {"mu": reference.mu, "sigma": reference.sigma}
    if reference.features is not None:
        arrays["features"] = reference.features
    if reference.class_marginal is not None:
        arrays["class_marginal"] = reference.class_marginal
    write_arrays(path, **arrays)
    digest = sha256(path)
    card = {
        **asdict(identity),
        "dim": len(reference.mu),
        "features_kept": 0 if reference.features is None else len(reference.features),
        "sha256": digest,
        "feature_network": network_card,
    }
    write_json(path.with_suffix(".json"), card)
    return replace(reference, sha256=digest)


def open_reference(path: str | Path, expected: ReferenceIdentity) -> Reference:
    """Open a reference file that `save_reference` wrote and check that it is the `expected` one.

    Fields of `expected` that are None are not compared. A file that is missing, damaged or made from something else
    raises a `UserError` that names the command to run.
    """
    path = Path(path)
    if not path.exists():
        raise UserError(f"reference statistics {path} are missing: {_AGAIN}")
    card_path = path.with_suffix(".json")
    try:
        card = json.loads(card_path.read_text(encoding="utf-8"))
        found = ReferenceIdentity(**{field.name: card[field.name] for field in fields(ReferenceIdentity)})
        card_digest = card["sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        raise UserError(f"reference statistics {path} have no readable card {card_path.name}: {_AGAIN}") from None
    for field in fields(ReferenceIdentity):
        wanted, is_there = getattr(expected, field.name), getattr(found, field.name)
        if wanted is not None and wanted != is_there:
            raise UserError(
                f"reference statistics {path} were made with {field.name} {str(is_there)[:20]}, not {wanted}: {_AGAIN}"
            )
    digest = sha256(path)
    if digest != card_digest:
        raise UserError(f"reference statistics {path} are not the file their card describes: {_AGAIN}")
    return _read(path, found, digest)


def open_foreign_reference(path: str | Path, identity: ReferenceIdentity) -> Reference:
    """Open an npz with mu and sigma as clean-fid and pytorch-fid write it.

    `identity` is the user's word for what it was made from. Such a file has no features, so no kernel distance can be
    computed against it.
    """
    path = Path(path)
    if not path.exists():
        raise UserError(f"statistics file {path} is missing")
    return _read(path, identity, sha256(path))


def _read(path: Path, identity: ReferenceIdentity, digest: str) -> Reference:
    try:
        with np.load(path, allow_pickle=False) as file:
            held = ", ".join(file.files)
            arrays = {name: file[name] for name in _ARRAYS if name in file.files}
    except Exception as damage:  # what readers of a damaged file raise has no common type
        raise UserError(
            f"{path} is not a statistics file (npz with mu and sigma): {kind_of_file(path) or damage}"
        ) from None
    mu, sigma = arrays.get("mu"), arrays.get("sigma")
    if mu is None or sigma is None:
        raise UserError(f"{path} is not a statistics file: it holds no mu and sigma, only {held or 'nothing'}")
    for name, array in arrays.items():
        if array.dtype.kind not in "fiu":
            raise UserError(f"{path}: {name} is {array.dtype}, not numbers")
        if not np.isfinite(array).all():
            raise UserError(f"{path}: {name} holds NaN or infinity")
    mu, sigma = mu.astype(np.float64), sigma.astype(np.float64)
    if mu.ndim != 1 or sigma.shape != (len(mu), len(mu)) or len(mu) == 0:
        raise UserError(f"{path} is not a statistics file: mu is {mu.shape} and sigma {sigma.shape}")
    features = arrays.get("features")
    if features is not None and (features.ndim != 2 or features.shape[1] != len(mu)):
        raise UserError(f"{path}: features have shape {features.shape}, not [N, {len(mu)}]")
    check_covariance(sigma, str(path))
    return Reference(identity, mu, sigma, features, arrays.get("class_marginal"), digest)


def check_covariance(sigma: np.ndarray, what: str) -> None:
    """Raise UserError unless sigma [D, D], finite, is symmetric and positive semi-definite as far as float32 can tell.

    Σ and its transpose may differ by 1e-5 of the largest entry; no eigenvalue may lie below −1e-6 of the trace.
    """
    apart, largest = float(np.abs(sigma - sigma.T).max()), float(np.abs(sigma).max())
    if apart > _SYMMETRY * largest:
        raise UserError(f"{what}: sigma is no covariance: it is not symmetric, entries across differ by {apart:g}")
    trace = float(np.trace(sigma))
    if trace < 0 or (largest > 0 and not _positive(sigma + _DEFINITE * trace * np.eye(len(sigma)))):
        raise UserError(f"{what}: sigma is no covariance: it has negative eigenvalues")


def _positive(matrix: np.ndarray) -> bool:
    try:
        np.linalg.cholesky(matrix)
    except np.linalg.LinAlgError:
        return False
    return True
