"""On a GPU a training step is recorded once and replayed: nothing but its speed may tell."""

import numpy as np
import pytest
import torch

from rediffuse.diffusion.interpolant import InterpolantObjective
from rediffuse.diffusion.objectives import Objective
from rediffuse.diffusion.process import DiffusionProcess
from rediffuse.hardware import Hardware
from rediffuse.models import build_unet, preset
from rediffuse.training import Denoising, TrainingConfig, train

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
SIMPLE = Objective()
OBJECTIVES = {
    "simple": SIMPLE,
    "l1": Objective(loss="l1"),
    "velocity": InterpolantObjective(),
    "bound": Objective(loss="vlb"),
    "hybrid": Objective(variance="learned-range", loss="hybrid"),
    **{
        f"{weighting} of {prediction}": Objective(prediction=prediction, weighting=weighting)
        for weighting in ("snr", "inverse-snr", "min-snr", "importance")
        for prediction in ("eps", "x0", "v", "mu")
    },
}


def learner(
    objective=SIMPLE, *, precision="float32", compiled=False, classes=3, checkpointing=False, **settings
) -> Denoising:
    learned = getattr(objective, "variance", "") == "learned-range"
    config = preset(
        "micro-digits", out_channels=1 + learned, num_classes=classes, dropout=0.2, checkpointing=checkpointing
    )
    random = np.random.default_rng(0)
    return Denoising(
        build_unet(config, seed=5),
        DiffusionProcess.create("cosine", 20),
        objective,
        random.integers(0, 256, (20, 1, 8, 8), dtype=np.uint8),
        None if classes is None else random.integers(0, classes, 20),
        TrainingConfig(**{"steps": 8, "batch_size": 8, "warmup": 0, "log_every": 8, "label_dropout": 0.3, **settings}),
        7,
        Hardware(device="cuda", precision=precision, channels_last=True, compile=compiled),
    )


def after(steps: int, learner: Denoising) -> list[np.ndarray]:
    """Weights, and the rows of losses and gradient norms, after some steps."""
    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True):
        for step in range(steps):
            learner.step(step)
    kept = {**learner.network.state_dict(), **learner.interval.state_dict()}
    return [value.cpu().numpy() for value in kept.values() if isinstance(value, torch.Tensor)]


def same(left: list[np.ndarray], right: list[np.ndarray]) -> bool:
    return len(left) == len(right) and all(map(np.array_equal, left, right))


def unrecorded(learner: Denoising) -> Denoising:
    learner.replayed = None
    return learner


@pytest.mark.parametrize("name", OBJECTIVES)
def test_each_objective_has_the_bytes_of_steps_that_are_not_recorded(name):
    assert learner(OBJECTIVES[name]).replayed is not None
    recorded, plain = after(4, learner(OBJECTIVES[name])), after(4, unrecorded(learner(OBJECTIVES[name])))
    assert same(recorded, plain)
    assert not same(recorded, after(3, learner(OBJECTIVES[name])))


@pytest.mark.parametrize(
    "how",
    [
        {"precision": "bfloat16"},
        pytest.param(
            {"compiled": True}, marks=pytest.mark.xfail(strict=False, reason="on an H200 kernels had other last bits")
        ),
        {"accumulate": 4},
        {"timestep_sampling": "loss-second-moment"},
        {"classes": None, "label_dropout": 0},
    ],
)
def test_each_way_to_take_a_step_has_the_bytes_of_steps_that_are_not_recorded(how):
    recorded = learner(**how)
    assert same(after(4, recorded), after(4, unrecorded(learner(**how))))
    assert recorded.replayed.graph is not None


@pytest.mark.xfail(run=False, reason="PyTorch's generator stays in its recording state, and so would later tests")
def test_a_step_that_looks_at_values_is_not_recorded_and_says_so(capfd):
    class Looking(Objective):
        def losses(self, *given):
            found = super().losses(*given)
            assert float(found.loss.sum()) > 0
            return found

    found = learner(Looking())
    assert same(after(4, found), after(4, learner()))
    assert found.replayed.graph is None
    assert "cannot be recorded" in capfd.readouterr().err


def test_a_recorded_step_takes_no_other_shapes():
    found = learner()
    after(1, found)
    with pytest.raises(ValueError, match="the recorded step takes"):
        found.replayed(found._backward, *[None] * 5)


def test_a_network_that_runs_again_in_the_backward_pass_is_not_recorded():
    found = learner(checkpointing=True)
    assert found.replayed is None
    after(2, found)


def test_a_training_that_is_taken_up_has_the_bytes_of_one_that_was_not(tmp_path):
    def run(folder: str, stop_at: int | None = None):
        def on_log(row) -> None:
            if row["step"] == stop_at:
                raise KeyboardInterrupt

        made = learner(log_every=2, checkpoint_every=3)
        return train(made, made.config, 7, state_dir=tmp_path / folder, stamp="stamp", on_log=on_log, progress=False)

    whole = run("whole")
    with pytest.raises(KeyboardInterrupt):
        run("stopped", stop_at=4)
    taken_up = run("stopped")
    assert taken_up.resumed_from == 3
    assert taken_up.history == whole.history
    assert all(torch.equal(value, taken_up.averaged[name]) for name, value in whole.averaged.items())
