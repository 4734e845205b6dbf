"""The opening: the question, the answer in three sentences, images, quality against steps, and the verdicts."""

import re

from rediffuse.evaluation.metrics import metric_title
from rediffuse.reporting.chapters.claims import short_table
from rediffuse.reporting.chapters.quality import quality_by_sampler
from rediffuse.reporting.chapters.samples import real_beside_generated
from rediffuse.reporting.experiments.cells import Cells
from rediffuse.reporting.experiments.claims import tally
from rediffuse.reporting.experiments.comparison import in_short, main_pair
from rediffuse.reporting.experiments.material import Material
from rediffuse.reporting.read.frames import Frames
from rediffuse.reporting.render.blocks import Bullets, Chapter, Item, Lead, chapter_of
from rediffuse.reporting.terms import MAIN, REAL_LABEL, capital, compared_runs
from rediffuse.reporting.values import NOT_RUN, counted, listed, number


def _sides(name: str) -> str:
    """A data set's name with × between the sides of its images."""
    return re.sub(r"(?<=\d)x(?=\d)", "×", capital(name))


def _question(frames: Frames) -> str:
    """What the study asks of its main runs; of files that a user names, the study's title says what they are."""
    pair, data = main_pair(frames), frames.loaded.study.data
    named = data.source in (None, data.name)
    of = f"{_sides((frames.card or {}).get('title') or data.name)}: " if named else ""
    if pair is None:
        labels = listed([run.label for run in compared_runs(frames.loaded)])
        question = f"how good are the images of {labels}, and what do they cost?"
    else:
        baseline, improved = (run.label for run in pair)
        question = f"does {improved} make better images than {baseline}, and in how few steps?"
    return of + question if of else capital(question)


def _measure(frames: Frames, cells: Cells) -> str:
    """What the distance is, what real images score, and what it is not."""
    title, n = metric_title(MAIN, frames.features), frames.loaded.study.evaluation.group_size
    real = cells.get(("real", "held-out", MAIN))
    line = "" if real is None else f": {REAL_LABEL} themselves score {number(real.value)}"
    if title != "FID":
        return (
            f"The {title} says how far samples lie from the training images as that network sees them: 0 where they "
            f"are not to be told apart, but more for any {counted(n, 'image')}{line}. It is not FID, which is a "
            "Fréchet distance in Inception-v3 features, in papers from 50,000 images: compare it within this report, "
            "not with published values."
        )
    few = f" It comes from {n:,} images where papers take 50,000, which raises it{line}." if n < 50_000 else ""
    return f"FID says how far samples lie from the training images as Inception-v3 sees them: compare it at one n.{few}"


def chapter(material: Material) -> Chapter | None:
    """What the study asks and what came out."""
    frames, cells, verdicts = material.frames, material.cells, material.verdicts
    answer = Bullets((in_short(frames, cells), tally(verdicts), _measure(frames, cells)))
    images = real_beside_generated(frames, cells) or f"Real images beside generated ones: {NOT_RUN}."
    steps: Item = quality_by_sampler(frames, cells)
    if steps is None and not any(metric == MAIN for _, _, metric in cells):
        steps = f"Quality against steps: {NOT_RUN}."
    table = short_table(verdicts) if verdicts else None
    return chapter_of("summary", "", Lead(_question(frames)), frames.loaded.study.summary, answer, images, steps, table)
