"""One value of all images of a setting at once, as papers quote it, beside the groups that give intervals."""

from typing import Any

from rediffuse.errors import UserError
from rediffuse.evaluation.metrics import metric_short
from rediffuse.reporting.read.files import read_json
from rediffuse.reporting.read.frames import Frames
from rediffuse.reporting.render.table import Rows, Table, headers
from rediffuse.reporting.terms import REAL_LINES, every_run, sampler_title, seeds_of, unique_label
from rediffuse.reporting.values import NOT_ASKED, NOT_RUN, Estimate, Value, counted
from rediffuse.runs import facts


def table(frames: Frames) -> Table | None:
    """Fréchet distance and Inception score of all images of every setting, held-out images and noise; None without."""
    study = frames.loaded.study.study
    places: list[tuple[Value, Value, Value, Value, str]] = []
    for run, seed in seeds_of(every_run(frames.loaded)):
        for setting, key, steps in facts.settings(run):
            file = str(facts.folder(run, seed) / "metrics" / f"{setting}.json")
            places.append((unique_label(frames.loaded, run), seed, sampler_title(run, key), steps, file))
    for name, title in REAL_LINES.items():
        places.append((title, NOT_ASKED, NOT_ASKED, NOT_ASKED, f"runs/{study}/real/{name}.json"))
    rows, references = Rows(), set()
    for *who, file in places:
        record = read_json(frames.root / file)
        found = None if record is None else record.get("whole")
        distance, score, n, reference = _values(file, found)
        references |= {reference} - {""}
        rows.add(*who, n, distance, score, frames.pedigree.links([file] if found else ()))
    if not references:
        return None
    titles = [metric_short(metric, frames.features) for metric in ("frechet_distance", "inception_score")]
    columns = headers("Images | Seed | Sampler | Steps | n", titles, "From")
    caption = "One value of all n images of a setting at once, as papers quote it: no interval is claimed for it."
    note = (
        f"{titles[0]}: from the statistics of {', '.join(sorted(references))}, which models were trained on, as "
        f"published values are (of 50,000 samples, with Inception-v3). {titles[1]}: mean over parts of the images in "
        "their order (ten, where there are 20 images or more) ± their deviation; it has no reference."
    )
    marked = frozenset(range(len(rows) - len(REAL_LINES), len(rows)))
    return Table("all-images", caption, columns, rows, (note,), marked, folded=True, spread="parts")


def _values(file: str, whole: dict[str, Any] | None) -> tuple[Value, Value, Value, str]:
    """Distance, score, n, and what the distance is measured from."""
    if whole is None:
        return NOT_RUN, NOT_RUN, NOT_RUN, ""
    try:
        distance, score = whole["metrics"]["frechet_distance"], whole["metrics"].get("inception_score")
        reference = distance["reference"]
        images = counted(reference["count"], "image")
        shown = "not available" if score is None else Estimate(score["value"], std=score["std"])
        return distance["value"], shown, distance["n"], f"{images} of {reference['dataset']} ({reference['split']})"
    except (KeyError, AttributeError, TypeError):
        raise UserError(f"{file}: is not a metrics file; remove it and run `dvc repro`") from None
