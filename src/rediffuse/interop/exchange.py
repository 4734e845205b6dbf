"""Trained runs out of the pipeline, and published weights into it."""

import json
import re
import tempfile
from pathlib import Path
from typing import Any

import yaml

from rediffuse.config import LoadedStudy, ResolvedRun, load_study
from rediffuse.config.trained import Network
from rediffuse.config.yaml12 import read_yaml
from rediffuse.data.image_set import ImageSet
from rediffuse.data.registry import SOURCES
from rediffuse.errors import UserError, shown
from rediffuse.files import atomic_folder, read_json, sha256, why_not_writable, write_atomically
from rediffuse.interop.layout import refuse_others
from rediffuse.interop.model_card import model_card, parameter_count
from rediffuse.interop.own_format import FORMAT, WEIGHTS, Package, check_state, write_package
from rediffuse.interop.sources import IddpmFacts, read_any, write_diffusers
from rediffuse.runs.describe import flatten
from rediffuse.runs.networks import build_network
from rediffuse.weights import read_tensors

FORMATS = ("diffusers", FORMAT)
RUN = "imported"


def check_export(run: ResolvedRun, to: Path, format_name: str) -> None:
    """Raise UserError when a run cannot be exported, however well it is trained."""
    if format_name not in FORMATS:
        raise UserError(f"--format: {format_name!r} is not known; use one of {', '.join(FORMATS)}")
    why = why_not_writable(to)
    if why is None and to.exists() and (not to.is_dir() or any(to.iterdir())):
        why = "is there already"
    if why is not None:
        raise UserError(f"--to: {to} {why}; name a new folder")
    if run.diffusion is None:
        raise UserError(f"export: {run.name} is a {run.model}; only U-Nets have a format that others read")


def export_run(
    run: ResolvedRun,
    folder: Path,
    image_set: ImageSet,
    to: Path,
    format_name: str,
    *,
    settings: dict[str, Any],
    origin: dict[str, str],
) -> None:
    """Write a trained run, whose files lie in `folder`, as a folder of weights, configuration and model card.

    Args:
        settings: what the weights were trained under.
        origin: what made them, by name.

    Raises:
        UserError: the weights are not those of the run, or the format cannot say what it is.
    """
    check_export(run, to, format_name)
    assert run.diffusion is not None
    path = folder / WEIGHTS
    network = build_network(run, image_set).config
    state = read_tensors(path)
    check_state(network, state, str(path))
    dropout = getattr(run.training, "label_dropout", 0)
    knows_no_class = dropout > 0 if run.weights is None else run.weights.knows_no_class
    package = Package(network, state, run.diffusion.model_dump(mode="json"), run.sampling.clip, knows_no_class)
    card = model_card(
        package,
        title=f"{run.label} ({run.study})",
        format_name=format_name,
        data=image_set.card,
        settings=dict(line.split(": ", 1) for line in flatten(settings)),
        origin={**origin, "SHA-256 of the run's weights.safetensors": sha256(path)},
        metrics=[read_json(metrics) for metrics in sorted((folder / "metrics").glob("*.json"))],
    )
    try:
        with atomic_folder(to) as temporary:
            (write_package if format_name == FORMAT else write_diffusers)(temporary, package)
            write_atomically(temporary / "README.md", card)
    except OSError as error:
        raise UserError(f"--to: {to} cannot be written ({error.strerror})") from None


def import_weights(
    root: Path, path: Path, name: str, like: Path, *, null_class: bool, facts: IddpmFacts, entry: str | None = None
) -> list[str]:
    """Write weights/<name>/ (our format) and studies/<name>.yaml, a study that samples and scores them.

    Data, hardware, evaluation and samplers of the study are those of the study `like`; network, schedule, prediction
    and variance those of the weights, as far as these tell.

    Returns:
        What was understood of the weights and what to know about what was written, a line each.

    Raises:
        UserError: the weights cannot be represented, do not fit the images, or the name is taken.
    """
    folder, file = Path("weights", name), Path("studies", f"{name}.yaml")
    if re.fullmatch("[a-z0-9][a-z0-9-]{,59}", name) is None:
        raise UserError(f"--into: {shown(name)} is no name of a study; use lower-case letters, digits and hyphens")
    for place in (folder, file):
        if (root / place).exists():
            raise UserError(f"--into: {place} is there already; use another name, or remove it")
        if (why := why_not_writable(root / place)) is not None:
            raise UserError(f"--into: {place} cannot be written: {why}")
    base = load_study(like)
    try:
        package = read_any(path, null_class=null_class, facts=facts, entry=entry)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    if not any(tensor.any() for tensor in package.state.values()):
        raise UserError(f"{path}: every weight is zero; the file was made and never filled, get it again")
    if null_class and package.network.num_classes is None:
        raise UserError(f"--null-class: the network in {path} has no classes; leave it out")
    _fits(package, base, like)
    weights: dict[str, Any] = {"folder": str(folder), "sha256": "0" * 64, "source": path.name}
    if package.network.num_classes is not None:
        weights["knows_no_class"] = package.knows_no_class
    study = _study(package, name, weights, read_yaml(like))
    _check(root / file, _text(study, path, like))
    try:
        with atomic_folder(root / folder) as temporary:
            write_package(temporary, package)
            weights["sha256"] = sha256(temporary / WEIGHTS)
            write_atomically(root / file, _text(study, path, like))
    except OSError as error:
        raise UserError(f"--into: {folder} cannot be written ({error.strerror})") from None
    notes = [*package.notes, *_understood(package), f"{file}: a study that samples and scores them"]
    if not package.diffusion:
        notes.append(
            f"the weights say nothing of their schedule: {file} has that of {like}; check its diffusion section"
        )
    if package.network.num_classes is not None and not package.knows_no_class:
        notes.append('the network knows no "no label": its embedding is zero, and guidance other than 1 is refused')
    return notes


def _understood(package: Package) -> list[str]:
    """Network and process as they were read, so that a wrong reading is seen."""
    network = package.network
    channels = ", ".join(map(str, network.widths))
    lines = [
        f"network: {parameter_count(package):,} parameters; images {network.image_size}x{network.image_size}x"
        f"{network.in_channels}, {network.out_channels} outputs; channels {channels}; blocks {network.blocks}; "
        f"attention at {', '.join(map(str, network.attention)) or 'no scale'}; heads {network.heads}; "
        f"classes {network.num_classes or 0}",
        f"details: time embedding {network.time_conditioning}, {network.time_order}, times {network.time_scale:g}; "
        f"norm_eps {network.norm_eps:g}, groups {network.groups}; downsample_padding {network.downsample_padding}",
    ]
    if package.diffusion:
        process = {key: package.diffusion.get(key) for key in ("timesteps", "schedule", "prediction", "variance")}
        clip = {None: "not said", True: "yes", False: "no"}[package.clip]
        lines.append("process: " + ", ".join(f"{key} {value}" for key, value in process.items()) + f", clip {clip}")
    return lines


def _fits(package: Package, base: LoadedStudy, like: Path) -> None:
    """Refuse weights for other images than those of the study."""
    data, network = base.study.data, package.network
    facts = SOURCES[data.source_name]
    for what, theirs, known in (
        ("pixels a side", network.image_size, data.image_size or facts.image_size),
        ("channels", network.in_channels, facts.channels),
        ("classes", network.num_classes, facts.classes if network.num_classes is not None else None),
    ):
        if known is not None and theirs != known:
            hint = "; if the last class means no label, say --null-class" if theirs == known + 1 else ""
            raise UserError(
                f"--like: the images of {like} ({data.name}) have {known} {what}, the network is for {theirs}{hint}"
            )


def _study(package: Package, name: str, weights: dict[str, Any], like: dict[str, Any]) -> dict[str, Any]:
    network = {
        key: value for key, value in package.network.model_dump(mode="json").items() if key in Network.model_fields
    }
    network["class_conditional"] = package.network.num_classes is not None
    refuse_others(package.network, [*network, "image_size", "in_channels", "out_channels", "num_classes"], "a study")
    diffusion = package.diffusion or like.get("defaults", {}).get("diffusion", {})
    if diffusion.get("variance") == "learned-range":
        diffusion = {"loss": "hybrid", **diffusion}
    sampling = like.get("defaults", {}).get("sampling", {})
    if package.clip is not None:
        sampling = {**sampling, "clip": package.clip}
    run = {"role": "baseline", "label": name, "weights": weights, "network": network, "diffusion": diffusion}
    kept: dict[str, Any] = {
        key: like[key] for key in ("data", "hardware", "tracking", "evaluation", "restoration") if key in like
    }
    return {
        "study": name,
        "title": f"Imported weights: {name}",
        **kept,
        "seeds": [0],
        "defaults": {"sampling": sampling},
        "runs": {RUN: run},
    }


def _text(study: dict[str, Any], path: Path, like: Path) -> str:
    plain = json.loads(json.dumps(study))
    head = (
        f"# Weights imported from {path.name}; images, evaluation and samplers as in {like.name}.\n"
        "# Nothing is trained: of the run's settings only those of sampling and evaluation may be changed.\n"
    )
    return head + yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=120)


def _check(file: Path, text: str) -> None:
    """Raise UserError, naming `file`, unless `text` is a valid study."""
    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder, file.name)
        draft.write_text(text, encoding="utf-8")
        try:
            load_study(draft)
        except UserError as error:
            raise UserError(str(error).replace(str(draft), str(file))) from None
