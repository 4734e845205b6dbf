"""What a study reads from outside the project, by content: pictures (`data.path`) and files of weights.

Keys of jobs hold the digests, so that replaced pictures count whatever they are called. DVC must see them too, and its
stages are written once for all studies: `inputs/` has a link for each key of a study that may name a file, which
`rediffuse plan` points at that file, or at `inputs/none`.
"""

import os
import sys
from pathlib import Path

from rediffuse.config import LoadedStudy
from rediffuse.config.sections import Evaluation
from rediffuse.errors import UserError
from rediffuse.evaluation.feature_networks import FEATURE_NETWORKS
from rediffuse.files import read_json
from rediffuse.pipeline.digests import Digests
from rediffuse.pipeline.evidence import evidence_digest

#: The key of a study by the link in inputs/ that stands for it.
LINKS = {
    "pictures": "data.path",
    "feature-weights": "evaluation.weights",
    "lpips-weights": "evaluation.lpips.weights",
    "lpips-heads": "evaluation.lpips.heads",
}
INPUTS, NONE = Path("inputs"), "none"


def named(loaded: LoadedStudy) -> dict[str, Path]:
    """The files and folders that a study names, by its key for them."""
    study = loaded.study
    lpips = study.evaluation.lpips
    given = {
        "data.path": study.data.path,
        "evaluation.weights": study.evaluation.weights,
        "evaluation.lpips.weights": lpips and lpips.weights,
        "evaluation.lpips.heads": lpips and lpips.heads,
    }
    return {key: Path(path).expanduser() for key, path in given.items() if path}


def outside_digests(loaded: LoadedStudy, root: Path) -> dict[str, str]:
    """SHA-256 by key of all that a study names and of the evidence of its ablations, what is there of it.

    Raises:
        UserError: weights are absent or not those that are meant.
    """
    digests = Digests(root)
    found = {f"evaluation.{key}": value for key, value in weights_digests(loaded.study.evaluation, root).items()}
    if (pictures := named(loaded).get("data.path")) is not None:
        if (content := digests.of(pictures)) is not None:
            found["data.path"] = content
        else:  # pictures that are gone are still those that were prepared
            found |= _prepared_from(root / "data" / loaded.study.data.name / "receipts" / "prepare.json")
    digests.save()
    if (content := evidence_digest(root, loaded.study.study)) is not None:
        found["ablations"] = content
    return found


def check_pictures(loaded: LoadedStudy, root: Path) -> None:
    """Raise UserError where a study's pictures are not there, and have not been prepared either."""
    path = named(loaded).get("data.path")
    receipt = root / "data" / loaded.study.data.name / "receipts" / "prepare.json"
    if path is not None and not (root / path).exists() and not _prepared_from(receipt):
        raise UserError(f"data.path: {path} does not exist; give the folder or archive of the pictures")


def _prepared_from(receipt: Path) -> dict[str, str]:
    try:
        return {"data.path": read_json(receipt)["settings"]["pictures"]}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def link(loaded: LoadedStudy, root: Path) -> None:
    """Point the links in inputs/ at what the study names."""
    paths = named(loaded)
    folder = root / INPUTS
    folder.mkdir(exist_ok=True)
    if not (folder / NONE).exists():
        raise UserError(f"{INPUTS / NONE} is missing; `git checkout -- {INPUTS}` brings it back")
    for name, key in LINKS.items():
        path = paths.get(key)
        target = NONE if path is None or not (root / path).exists() else os.path.relpath(root / path, folder)
        place = folder / name
        if not place.is_symlink() or os.readlink(place) != target:
            temporary = folder / f".{name}"
            temporary.unlink(missing_ok=True)
            temporary.symlink_to(target)
            temporary.replace(place)
    pictures = paths.get("data.path")
    if pictures is not None and _holds_links(root / pictures):
        print(
            f"data.path: folders in {pictures} are links, behind which DVC does not look; after a change there run "
            "`rediffuse plan`",
            file=sys.stderr,
        )


def _holds_links(folder: Path) -> bool:
    """Whether a folder below this one is a link."""
    return any((Path(place) / name).is_symlink() for place, folders, _ in os.walk(folder) for name in folders)


def own_program(loaded: LoadedStudy) -> str | None:
    """The TorchScript file that a study scores with, a program of the user's."""
    evaluation = loaded.study.evaluation
    return evaluation.weights if FEATURE_NETWORKS[evaluation.features].takes_file else None


def weights_there(loaded: LoadedStudy, root: Path) -> None:
    """Look for all weights that a study names. Raises UserError, naming the key, where some are absent."""
    weights_digests(loaded.study.evaluation, root, there=True)
    for name, run in loaded.runs.items():
        if run.weights is not None and not (root / run.weights.folder / "weights.safetensors").is_file():
            raise UserError(
                f"runs.{name}.weights.folder: {run.weights.folder} has no weights.safetensors; "
                "`rediffuse import` makes such a folder"
            )


def weights_digests(evaluation: Evaluation, root: Path, *, there: bool = False) -> dict[str, str]:
    """SHA-256 by key of every weight file that a study names: the stated one, or else that of the file.

    Keys: "weights", "lpips.weights", "lpips.heads", those that are named.

    Raises:
        UserError: a file is not what the study states, or absent and not stated; with `there` also if only absent.
    """
    named = [("weights", evaluation.weights, evaluation.weights_sha256)]
    if (lpips := evaluation.lpips) is not None:
        named.append(("lpips.weights", lpips.weights, lpips.weights_sha256))
        named.append(("lpips.heads", lpips.heads, lpips.heads_sha256))
    digests, found = Digests(root), {}
    for key, path, stated in named:
        if path is None:
            continue
        if (root / path).exists() and not (root / path).is_file():
            raise UserError(f"evaluation.{key}: {path} is not a file; give the file")
        actual = digests.of(Path(path))
        if actual is None and (there or stated is None):
            what = "cannot be read" if (root / path).exists() else "does not exist"
            raise UserError(f"evaluation.{key}: {path} {what}; give the file")
        if None not in (actual, stated) and actual != stated:
            raise UserError(
                f"evaluation.{key}_sha256: {path} has {actual}, not {stated}; "
                "give the file that is meant, or its digest"
            )
        found[key] = stated or str(actual)
    digests.save()
    return found
