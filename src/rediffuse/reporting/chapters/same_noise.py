"""Same noise, same image? How alike the images are that separately trained networks make from one x_T."""

from itertools import combinations
from typing import NamedTuple

import numpy as np

from rediffuse.config import ResolvedRun
from rediffuse.config.sampling import draws_noise
from rediffuse.evaluation.intervals import over_images
from rediffuse.reporting.experiments.material import Material
from rediffuse.reporting.read.frames import Frames
from rediffuse.reporting.read.records import sample_images
from rediffuse.reporting.render import plots
from rediffuse.reporting.render.blocks import Chapter, chapter_of
from rediffuse.reporting.render.picture import Picture
from rediffuse.reporting.render.table import Rows, Table, headers
from rediffuse.reporting.terms import compared_runs, setting_title
from rediffuse.reporting.values import Estimate, number
from rediffuse.runs import facts

SHOWN = 16
#: More images tell no more, and are held in float64.
MOST = 1000


class Pair(NamedTuple):
    """Two runs and how alike their images are: of the same noise, and of noise that is not the same."""

    first: ResolvedRun
    second: ResolvedRun
    same: Estimate
    other: Estimate
    n: int


def deterministic_setting(runs: list[ResolvedRun]) -> str | None:
    """The setting with most steps that all of the runs have, of samplers that draw no noise in their steps."""
    found: dict[str, tuple[bool, float]] = {}
    for setting in facts.settings(runs[0]) if runs else ():
        sampler = runs[0].sampling.samplers[setting[1]]
        if sampler.variations is None and not draws_noise(setting[1], sampler):
            found[setting[0]] = facts.fineness(setting)
    shared = [name for name in found if all(name in {s for s, _, _ in facts.settings(run)} for run in runs[1:])]
    return min(shared, key=found.__getitem__, default=None)


def correlations(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Pearson's correlation of the pixels of each pair of images [N, C, H, W]: float64 [N]; 0 where one is flat."""
    flat = [images.reshape(len(images), -1).astype(np.float64) for images in (first, second)]
    centred = [values - values.mean(axis=1, keepdims=True) for values in flat]
    norms = np.prod([np.linalg.norm(values, axis=1) for values in centred], axis=0)
    return np.divide((centred[0] * centred[1]).sum(axis=1), norms, out=np.zeros(len(norms)), where=norms > 0)


def pairs(frames: Frames, runs: list[ResolvedRun], setting: str) -> list[Pair]:
    """Every two runs whose samples are there; noise that is not the same: each image beside the next one's."""
    images = {run.name: sample_images(frames, run, setting, MOST) for run in runs}
    found = []
    for first, second in combinations(runs, 2):
        ours, theirs = images[first.name], images[second.name]
        if ours is None or theirs is None or (both := min(len(ours), len(theirs))) < 2:
            continue
        ours, theirs = ours[:both], theirs[:both]
        same, other = (over_images(correlations(ours, b)) for b in (theirs, np.roll(theirs, 1, axis=0)))
        found.append(Pair(first, second, Estimate.of(same), Estimate.of(other), len(ours)))
    return found


def picture(frames: Frames, runs: list[ResolvedRun], setting: str) -> Picture:
    """The first images of each run, one below the other."""
    title = setting_title(frames.loaded, runs[0].name, setting)
    caption = (
        f"The first {SHOWN} images of each run with {title}, from the same x_T in every column; none was picked. Where "
        "columns show one image, networks that never met found the same map from noise to images."
    )
    drawing = plots.Drawing("same-noise", "run", caption)
    return plots.strips(drawing, [(run.label, sample_images(frames, run, setting, SHOWN)) for run in runs])


def chapter(material: Material) -> Chapter | None:
    """The pairs in a sentence, a picture and a table."""
    frames, runs = material.frames, compared_runs(material.loaded)
    setting = deterministic_setting(runs)
    found = pairs(frames, runs, setting) if setting is not None and len(runs) > 1 else []
    if setting is None or not found:
        return None
    rows, links = Rows(), frames.pedigree.links
    for pair in found:
        files = [str(facts.folder(run, run.seeds[0]) / f"samples/{setting}.npz") for run in (pair.first, pair.second)]
        rows.add(pair.first.label, pair.second.label, pair.same, pair.other, pair.n, links(files))
    columns = headers("Run | Other run | Correlation, same noise | Correlation, other noise | n | From")
    first, title = found[0], setting_title(frames.loaded, runs[0].name, setting)
    text = (
        f"{title}: the image that {first.first.label} makes of one x_T correlates with that of {first.second.label} by "
        f"{number(first.same.value)}, and by {number(first.other.value)} with that of another x_T (means over "
        f"{first.n} images). Song et al. 2021, section 4.3, expect the first to be high."
    )
    caption = f"How alike images of separately trained networks are, {title}: mean correlation of their pixels."
    table = Table("same-noise", caption, columns, rows)
    return chapter_of("same-noise", "Same noise, same image?", text, picture(frames, runs, setting), table)
