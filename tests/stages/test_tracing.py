"""Samples watched along their steps, by stage `trace`: against closed forms, and against the samples themselves."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from rediffuse.data.image_set import ImageSet
from rediffuse.diffusion.analytic import GaussianMixture
from rediffuse.diffusion.denoiser import Denoiser
from rediffuse.diffusion.process import DiffusionProcess
from rediffuse.diffusion.randomness import SampleNoise
from rediffuse.errors import UserError
from rediffuse.jobs.tracing import pixel_moments, spread
from rediffuse.pipeline.context import Context
from rediffuse.samplers.ancestral import ancestral
from rediffuse.samplers.ddim import ddim
from rediffuse.samplers.trajectory import Trajectory, evenly
from tests.stages.conftest import do, judge_of, open_study, smoke_study

MEAN, VARIANCE = -0.3, 0.16
FOLDER = Path("runs/smoke/improved/seed0")


@pytest.mark.parametrize("sampler", [ancestral, ddim])
def test_with_an_exact_denoiser_x_t_has_the_moments_of_q(sampler):
    shape, steps = (1, 4, 4), 200
    gaussian = GaussianMixture(torch.full((1, *shape), MEAN), torch.full((1, *shape), VARIANCE))
    process = DiffusionProcess.create("cosine", 1000).respace(range(0, 1000, 1000 // steps))
    # With the exact reverse variance every step of ancestral sampling is exact; DDIM is as its steps are many.
    denoiser = Denoiser(gaussian.model(process, learned_variance=True), process, variance="learned", clip=False)
    track = Trajectory(evenly(6, steps))
    sampler(denoiser, SampleNoise(3, torch.arange(400), shape, dtype=torch.float64), callback=track)
    for t, x in zip(track.t, track.x, strict=True):
        level = float(process.alphas_bar[int(t)])
        found = spread(x, level, MEAN, VARIANCE)
        assert found["expected_mean"] == pytest.approx(level**0.5 * MEAN)
        assert found["expected_std"] == pytest.approx((level * VARIANCE + 1 - level) ** 0.5)
        # 6400 independent values: standard errors of 1.3 % of the spread for the mean, 0.9 % for the spread.
        assert found["mean"]["value"] == pytest.approx(found["expected_mean"], abs=0.045 * found["expected_std"])
        assert found["std"]["value"] == pytest.approx(found["expected_std"], rel=0.03)
        assert found["std"]["low"] < found["std"]["value"] < found["std"]["high"]


def test_the_moments_of_the_data_are_those_of_the_training_pixels():
    pixels = np.random.default_rng(1).integers(0, 256, (9, 1, 2, 2), dtype=np.uint8)
    held_out = np.arange(9) % 3 == 0
    values = pixels[~held_out] / 127.5 - 1
    assert pixel_moments(ImageSet(pixels, None, held_out, (), {})) == pytest.approx((values.mean(), values.var()))


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Context:
    content = smoke_study()
    content["evaluation"] |= {"trajectories": {"images": 30, "steps": 5, "points": 3}, "groups": 1, "group_size": 24}
    content["defaults"]["training"] |= {"steps": 12, "preview_steps": [12]}
    # Batches of another size than that of the watched samples: 16 and 14 of them.
    content["defaults"]["sampling"] |= {"images": 32, "batch_size": 16}
    del content["runs"]["improved"]["classifier"], content["evaluation"]["during_training"]
    content["runs"]["improved"]["sampling"] = {"samplers": {"ancestral": {"steps": [5]}, "ddim": {"steps": [5]}}}
    content |= {"claims": [], "experiments": {}}
    context = open_study(tmp_path_factory.mktemp("study"), content)
    for stage in ("prepare", "reference"):
        do(context, stage)
    for stage in ("train", "sample", "trace"):
        do(context, stage, "improved")
    return context


@pytest.mark.parametrize("sampler", ["ancestral", "ddim"])
def test_the_last_estimates_are_the_samples_and_are_scored_as_these_are(context: Context, sampler: str):
    with np.load(context.root / FOLDER / "samples" / f"{sampler}-5.npz") as samples:
        images = samples["images"][:30]
    with np.load(context.root / FOLDER / "trajectory" / "images.npz") as shown:
        assert np.abs(shown[sampler][-1].astype(int) - images[:4]).max() <= 1  # batches may add in another order
    points = json.loads((context.root / FOLDER / "trajectory" / "trajectory.json").read_text())["samplers"][sampler]
    assert [point["step"] for point in points] == [0, 2, 4, 5]
    assert points[-2]["distance"] == pytest.approx(judge_of(context).values(images)["frechet_distance"], rel=1e-3)
    # The whole of 30 samples, in [-1, 1].
    assert points[-1]["mean"]["value"] == pytest.approx(images.mean() / 127.5 - 1, abs=5e-3)


def test_more_steps_than_the_process_has_are_refused(tmp_path: Path):
    content = smoke_study()
    content["evaluation"]["trajectories"] = {"steps": 51}
    with pytest.raises(UserError, match=r"evaluation\.trajectories\.steps: 51 is more .* use at most 50"):
        open_study(tmp_path, content)
