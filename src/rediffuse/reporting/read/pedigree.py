"""Where every number comes from: file, command, key, commit, code."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rediffuse.config import LoadedStudy
from rediffuse.errors import UserError
from rediffuse.files import sha256
from rediffuse.reporting.read.paths import cost_folder, data_folder, evidence_folder, real_folder
from rediffuse.reporting.render.terms import NOT_RECORDED

AS_MADE, ALTERED, UNDIGESTED = "as made", "altered since", "timing: not digested"
SHORT = 12


@dataclass(frozen=True)
class Source:
    """One file that the report uses and the job that made it; what no receipt tells is `NOT_RECORDED`."""

    id: str
    path: str
    job: str
    command: str
    key: str
    commit: str
    code: str
    state: str


@dataclass(frozen=True, eq=False)
class Pedigree:
    """The files of a study that exist, by path, and the receipts that speak for them."""

    sources: dict[str, Source]
    receipts: dict[str, dict[str, Any]]

    def ids(self, paths: Iterable[str]) -> tuple[str, ...]:
        """Identifiers of files, each once, in order; files that do not exist have none."""
        return tuple(dict.fromkeys(self.sources[str(path)].id for path in paths if str(path) in self.sources))

    def key(self, receipt: Path) -> str | None:
        """Key of the job that left a receipt, None when there is none."""
        return self.receipts.get(str(receipt), {}).get("key")

    def with_ablations(self, entries: list[dict[str, Any]], path: str) -> "Pedigree":
        """This pedigree with a row for each ablation and seed of the evidence kept in `path`."""
        sources = dict(self.sources)
        for count, entry in enumerate(entries, start=1):
            place = ablation_place(path, entry)
            sources[place] = Source(
                id=f"A{count}",
                path=place,
                job=f"train/{entry['ablation']}/seed{entry['seed']}",
                command=entry.get("command") or NOT_RECORDED,
                key=(entry.get("keys") or {}).get("train") or NOT_RECORDED,
                commit=entry.get("commit") or NOT_RECORDED,
                code=NOT_RECORDED,
                state="kept as evidence",
            )
        return Pedigree(sources, self.receipts)


def ablation_place(path: str, entry: dict[str, Any]) -> str:
    """How an entry of the ablations' evidence is referred to."""
    return f"{path}#{entry['ablation']}/seed{entry['seed']}"


def read_pedigree(loaded: LoadedStudy, root: Path) -> Pedigree:
    """Read all receipts of the study's main runs and match each file the report may use with its job."""
    receipts: dict[str, dict[str, Any]] = {}
    sources: dict[str, Source] = {}
    for receipt_path, files in _files(loaded, root):
        receipt = _receipt(root / receipt_path) if receipt_path else None
        if receipt is not None:
            receipts[str(receipt_path)] = receipt
        for path in files:
            if (root / path).is_file():
                # Files of their own count for timings: whether they are there must not renumber the others.
                letter = "T" if "timing" in path.parts or path.name == "timings.json" else "P"
                count = sum(source.id.startswith(letter) for source in sources.values())
                sources[str(path)] = _source(f"{letter}{count + 1}", root, path, receipt or {})
    return Pedigree(sources, receipts)


def _files(loaded: LoadedStudy, root: Path) -> list[tuple[Path | None, list[Path]]]:
    """(receipt, files it speaks for), in the order of the pipeline."""
    study = loaded.study
    data, real, cost = data_folder(loaded), real_folder(study.study), cost_folder(study.study)
    stem = f"reference-{study.evaluation.features}"
    found: list[tuple[Path | None, list[Path]]] = [
        (data / "receipt.json", [data / name for name in ("card.json", "images.npy", "held_out.npy")]),
        (data / f"{stem}.receipt.json", [data / f"{stem}.json", data / f"{stem}.npz"]),
        (real / "receipts" / "real.json", [real / "held-out.json", real / "noise.json"]),
    ]
    found.append((cost / "receipts" / "cost.json", [cost / "cost.json", cost / "timing" / "cost.json"]))
    for run in loaded.runs.values():
        for seed in run.seeds:
            folder = run.folder(seed)
            settings = [setting for setting, _, _ in run.settings()]
            trained = ["run.yaml", "history.csv", "weights.safetensors", "timing/train.json"]
            previews = [f"previews/step-{step:06d}.png" for step in run.preview_steps]
            made = {
                "train": trained + previews + [f"during-training/step-{step:06d}.npz" for step in run.scored_steps],
                "sample": [*(f"samples/{setting}.npz" for setting in settings), "timing/sample.json"],
                "evaluate": [f"metrics/{setting}.json" for setting in settings],
                "examine": ["examination/examination.json", "examination/training.json"],
                "restore": ["restoration/psnr.json", "restoration/images.npz"],
                "nll": ["likelihood/nll.json", "likelihood/terms.csv"],
            }
            if run.classifier is not None:
                made["classifier"] = [
                    "classifier.safetensors", "classifier.json", "classifier-history.csv", "timing/classifier.json"
                ]  # fmt: skip
            found += [
                (folder / "receipts" / f"{stage}.json", [folder / f for f in files]) for stage, files in made.items()
            ]
    for model in loaded.generators.values():
        for seed in model.seeds:
            folder = model.folder(seed)
            of_fit = ["run.yaml", "history.csv", "weights.safetensors", "likelihood/nll.json", "timing/fit.json"]
            of_fit += [f"previews/step-{step:06d}.png" for step in model.training.preview_steps]
            names = [setting for setting, _, _ in model.settings()]
            left = {
                "fit": of_fit,
                "draw": [*(f"samples/{setting}.npz" for setting in names), "timing/draw.json"],
                "evaluate": [f"metrics/{setting}.json" for setting in names],
                "examine": ["examination/examination.json"],
            }
            found += [
                (folder / "receipts" / f"{stage}.json", [folder / f for f in files]) for stage, files in left.items()
            ]
    evidence = evidence_folder(study.study)
    return [*found, (None, [evidence / "timings.json"])]


def _receipt(path: Path) -> dict[str, Any] | None:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (UnicodeDecodeError, json.JSONDecodeError):
        raise UserError(f"{path}: is not a receipt; run `dvc repro` to make it again") from None


def _source(identifier: str, root: Path, path: Path, receipt: dict[str, Any]) -> Source:
    recorded = receipt.get("outputs", {}).get(str(path))
    if identifier.startswith("T"):
        state = UNDIGESTED
    elif recorded is None:
        state = NOT_RECORDED
    else:
        state = AS_MADE if sha256(root / path) == recorded else ALTERED
    return Source(
        id=identifier,
        path=str(path),
        job=receipt.get("job", NOT_RECORDED),
        command=receipt.get("command", NOT_RECORDED),
        key=receipt.get("key", NOT_RECORDED),
        commit=receipt.get("commit", NOT_RECORDED),
        code=receipt.get("code", NOT_RECORDED),
        state=state,
    )
