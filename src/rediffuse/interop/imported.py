"""The folder of weights that a run names in place of training: read, and compared with what the study says of it."""

from pathlib import Path

from torch import Tensor

from rediffuse.config import ResolvedRun
from rediffuse.errors import UserError
from rediffuse.files import sha256
from rediffuse.interop.own_format import NOT_OF_THE_FUNCTION, WEIGHTS, Package, read_package
from rediffuse.models.unet_config import UNetConfig


def checked_weights(run: ResolvedRun, network: UNetConfig, root: Path) -> dict[str, Tensor]:
    """The weights that a run names for its network.

    Raises:
        UserError: the folder is not there, its weights are not those the study names, or their network is another.
    """
    assert run.weights is not None
    source = root / run.weights.folder
    package = _read(source, run)
    _compare(package, network, run, source)
    return package.state


def _read(source: Path, run: ResolvedRun) -> Package:
    assert run.weights is not None
    where = f"runs.{run.name}.weights.folder: {run.weights.folder}"
    try:
        if not (source / WEIGHTS).is_file():
            raise UserError(f"{where} has no {WEIGHTS}; `rediffuse import` makes such a folder")
        found = sha256(source / WEIGHTS)
    except OSError as error:
        raise UserError(f"{where} cannot be read ({error.strerror}); `rediffuse import` makes such a folder") from None
    if found != run.weights.sha256:
        raise UserError(
            f"runs.{run.name}.weights.sha256: {source / WEIGHTS} has the digest {found}, the study says "
            f"{run.weights.sha256}; put the right file there, or import it anew"
        )
    return read_package(source)


def _compare(package: Package, wanted: UNetConfig, run: ResolvedRun, source: Path) -> None:
    """Refuse weights of another network: some differences show in no shape."""
    ours = wanted.model_dump()
    for name, theirs in package.network.model_dump().items():
        if ours[name] != theirs and name not in NOT_OF_THE_FUNCTION:
            raise UserError(
                f"runs.{run.name}.network: {name} is {ours[name]!r} in this study (or its images), and {theirs!r} in "
                f"the weights in {source}; use theirs"
            )
