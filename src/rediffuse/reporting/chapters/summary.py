"""The answer in a few sentences."""

from rediffuse.evaluation.metrics import metric_title
from rediffuse.reporting.experiments.claims import tally
from rediffuse.reporting.experiments.comparison import best_settings, headline, likelihood_sentence, real_line
from rediffuse.reporting.experiments.material import Material
from rediffuse.reporting.render.blocks import Bullets, Chapter, chapter_of
from rediffuse.reporting.terms import MAIN


def chapter(material: Material) -> Chapter | None:
    """What the study asks and what came out."""
    frames, cells, verdicts = material.frames, material.cells, material.verdicts
    study, n = frames.loaded.study, frames.loaded.study.evaluation.group_size
    texts = headline(frames, cells) + best_settings(frames, cells) + real_line(frames, cells)
    texts += likelihood_sentence(frames, cells) + ([tally(verdicts)] if verdicts else [])
    fid = metric_title(MAIN, frames.features)
    if fid != "FID":
        texts.append(
            f"The {fid} is not FID, which is a Fréchet distance in Inception-v3 features, and it is computed from {n} "
            "images where papers take 50,000: the values here may be compared with one another and with the lines of "
            "real images and noise, not with published ones."
        )
    elif n < 50_000:
        texts.append(
            f"FID here is computed from {n:,} images where papers take 50,000, which raises it: compare it only at the "
            "same n."
        )
    return chapter_of("summary", "Summary", study.summary, Bullets(tuple(texts)))
