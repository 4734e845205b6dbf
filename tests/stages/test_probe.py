"""Stage `probe`: what a trained network tells by itself."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from rediffuse.config import ResolvedRun
from rediffuse.cost.memory import saved_for_backward
from rediffuse.data.image_set import ImageSet, open_image_set
from rediffuse.diffusion.pixels import to_unit_range
from rediffuse.diffusion.predictions import convert
from rediffuse.diffusion.process import DiffusionProcess
from rediffuse.files import read_json
from rediffuse.jobs.probing import by_t, levels, over_times
from rediffuse.pipeline.context import Context
from rediffuse.runs.networks import build_network
from tests.stages.conftest import do, open_study, smoke_study

FILE = Path("runs/smoke/improved/seed0/probe/probe.json")


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Context:
    content = smoke_study()
    content["defaults"]["training"] |= {"steps": 4, "warmup": 1, "log_every": 2, "preview_steps": [4]}
    content["defaults"]["network"]["dropout"] = 0.1
    content["evaluation"]["during_training"] = None
    content["runs"]["improved"]["training"] = {"timestep_sampling": "loss-second-moment"}
    context = open_study(tmp_path_factory.mktemp("study"), content)
    do(context, "prepare")
    for stage in ("train", "probe"):
        do(context, stage, "improved")
    return context


def test_the_loss_on_held_out_images_is_the_one_that_training_logged_last(context: Context):
    history = (context.root / FILE.parents[1] / "history.csv").read_text().splitlines()
    logged = dict(zip(history[0].split(","), history[-1].split(","), strict=True))["held_out_loss"]
    found = read_json(context.root / FILE)["metrics"]["held_out_loss"]
    assert found["value"] == pytest.approx(float(logged), rel=1e-6)
    assert found["low"] < found["value"] < found["high"]


def test_what_is_exact_is_a_point(context: Context):
    found, image_set = read_json(context.root / FILE)["metrics"], open_image_set(context.data_folder)
    network = build_network(context.loaded.run("improved"), image_set)
    count = sum(parameter.numel() for parameter in network.parameters())
    assert [found["parameters"][key] for key in ("value", "low", "high")] == [count] * 3
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network.eval()(torch.zeros(1, *image_set.shape), torch.zeros(1, dtype=torch.long))
    assert found["gflops"]["value"] * 1e9 == pytest.approx(counter.get_total_flops())
    # Weights, gradients, two moments and an average of 4 bytes each, and what 16 images at once leave for their
    # gradient.
    network, x, t = network.train(), torch.zeros(16, *image_set.shape), torch.zeros(16, dtype=torch.long)
    kept = saved_for_backward(network, lambda: network(x, t))
    assert found["peak_memory"]["value"] * 2**20 == pytest.approx(20 * count + kept, rel=0.01)


def test_done_again_it_is_the_same_bytes_although_there_is_dropout(context: Context):
    before = (context.root / FILE).read_bytes()
    (context.root / FILE).unlink()
    do(context, "probe", "improved")
    assert (context.root / FILE).read_bytes() == before


IMAGE = np.arange(0, 256, 16, dtype=np.uint8).reshape(1, 1, 4, 4)
ALIKE = ImageSet(np.repeat(IMAGE, 6, 0), None, np.arange(6) < 3, (), {})


def predicting(context: Context, prediction: str) -> ResolvedRun:
    run = context.loaded.run("baseline")
    return run.model_copy(update={"diffusion": run.diffusion.model_copy(update={"prediction": prediction})})


@pytest.mark.parametrize("prediction", ["eps", "x0", "mu", "v", "velocity"])
def test_who_knows_the_only_image_makes_no_error_whatever_it_predicts(context: Context, prediction: str):
    run = predicting(context, prediction)
    process, clean = DiffusionProcess.create("linear", 50), to_unit_range(torch.from_numpy(IMAGE))

    def knows(x: Tensor, t: Tensor) -> Tensor:
        if prediction == "velocity":
            time = t[:, None, None, None] / 1000
            return (x - clean) / time  # ε − x_0, as x_t = (1 − τ) x_0 + τ ε
        return convert(process, clean.expand_as(x), x, t, "x0", prediction)

    found = by_t(run, knows, ALIKE, "held-out", levels(run))
    for name in ("eps", "eps_linear", "eps_memory"):
        np.testing.assert_allclose(found[name], 0, atol=1e-5)
    # Told another time, it is wrong, but for a prediction that does not depend on it.
    assert (found["eps_mistold"].max() > 1e-3) == (prediction != "x0")


def test_a_mean_over_t_is_that_of_straight_lines_between_the_times(context: Context):
    times = levels(context.loaded.run("baseline"))
    t = np.array([level.t for level in times])
    assert [t[0], t[-1]] == [0, 49]
    np.testing.assert_allclose(over_times(np.stack([2.0 * t, 0 * t + 3.0], axis=1), times), [49.0, 3.0])
