"""Training of one-pass models: killed for real and called again it ends with the same bytes; it refuses what diverges.

Run as a program, this file trains once in the folder it is given and kills itself with SIGKILL after the row of a step.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save

from rediffuse.errors import UserError
from rediffuse.models.dcgan import Discriminator, Generator
from rediffuse.models.vae import VAE
from rediffuse.training.adversarial import Adversaries
from rediffuse.training.batches import Batches
from rediffuse.training.diverged import TrainingDiverged
from rediffuse.training.loop import TrainingResult, train
from rediffuse.training.options import DcganTraining, VaeTraining, WganTraining
from rediffuse.training.variational import Variational, held_out_bound

KINDS = ("dcgan", "wgan-gp", "vae")
SHAPE = (1, 8, 8)
OPTIONS = {
    "steps": 14,
    "batch_size": 4,
    "learning_rate": 1e-3,
    "ema_decay": 0.9,
    "flip": True,
    "log_every": 3,
    "checkpoint_every": 5,
}
CONFIGS = {
    "dcgan": DcganTraining(**OPTIONS),
    "wgan-gp": WganTraining(**OPTIONS, critic_steps=2),
    "vae": VaeTraining(**OPTIONS),
}
SNAPSHOTS = (2, 12)
IMAGES = np.random.default_rng(0).integers(0, 256, (20, *SHAPE), dtype=np.uint8)


def learner(kind: str) -> Adversaries | Variational:
    torch.set_num_threads(1)
    torch.manual_seed(3)
    config = CONFIGS[kind]
    batches = Batches(IMAGES, None, batch_size=config.batch_size, seed=7, flip=config.flip)
    if kind == "vae":
        return Variational(VAE(3, 4, SHAPE), batches, 3, config, 7)
    critic = Discriminator(4, SHAPE, "layer" if kind == "wgan-gp" else "batch")
    return Adversaries(Generator(3, 4, SHAPE), critic, batches, 3, config, 7)


def run(kind: str, folder: Path, on_log=None, stamp: str = "stamp") -> TrainingResult:
    return train(
        learner(kind),
        CONFIGS[kind],
        7,
        state_dir=folder,
        stamp=stamp,
        snapshots=SNAPSHOTS,
        on_log=on_log,
        progress=False,
    )


def content(result: TrainingResult) -> tuple[bytes, bytes, str, list[bytes]]:
    snapshots = [path.read_bytes() for path in result.snapshots.values()]
    return save(result.averaged), save(result.raw), repr(result.history), snapshots


def main(kind: str, folder: str, step: str) -> None:
    def die(row: dict[str, float]) -> None:
        if row["step"] == int(step):
            os.kill(os.getpid(), signal.SIGKILL)

    run(kind, Path(folder), on_log=die)


@pytest.mark.parametrize("kind", KINDS)
def test_a_killed_training_goes_on_and_ends_with_the_same_bytes(kind: str, tmp_path: Path):
    right = content(run(kind, tmp_path / "whole"))
    # Killed before the first checkpoint, then after the one of step 10 in the middle of an interval.
    for step, resumes_from in ((3, None), (12, 10)):
        victim = subprocess.run([sys.executable, __file__, kind, str(tmp_path / "killed"), str(step)], check=False)
        assert victim.returncode == -signal.SIGKILL
        assert (list((tmp_path / "killed").glob("checkpoint.*.pt")) != []) == (resumes_from is not None)
    resumed = run(kind, tmp_path / "killed")
    assert resumed.resumed_from == 10
    assert content(resumed) == right


def test_a_finished_training_is_returned_at_once(tmp_path: Path):
    right = run("vae", tmp_path)
    again = run("vae", tmp_path)
    assert again.resumed_from == OPTIONS["steps"]
    assert content(again) == content(right)


def test_another_stamp_starts_afresh(tmp_path: Path):
    run("vae", tmp_path)
    assert run("vae", tmp_path, stamp="other").resumed_from is None


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_is_the_mean_of_its_interval(kind: str, tmp_path: Path):
    rows = run(kind, tmp_path).history
    assert [row["step"] for row in rows] == [3, 6, 9, 12, 14]
    by_hand = learner(kind)
    steps = [{name: float(value) for name, value in by_hand.losses(step).items()} for step in range(3)]
    assert rows[0] == {"step": 3, **{name: pytest.approx(np.mean([s[name] for s in steps])) for name in steps[0]}}


@pytest.mark.parametrize(("kind", "name"), [("dcgan", "discriminator loss"), ("vae", "loss")])
def test_a_loss_that_is_not_finite_is_refused_with_its_step(kind: str, name: str, tmp_path: Path):
    def poison(row: dict[str, float]) -> None:
        if row["step"] == 6:
            with torch.no_grad():
                next(trained.network.parameters()).fill_(float("nan"))

    trained = learner(kind)
    with pytest.raises(
        TrainingDiverged, match=rf"step 7: the {name} is nan; the last good checkpoint is that of step 5"
    ):
        train(trained, CONFIGS[kind], 7, state_dir=tmp_path, stamp="s", on_log=poison, progress=False)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 1}, "batch_size is 1; .* greater than or equal to 2"),
        ({"critic_steps": 0}, "critic_steps is 0; .* greater than 0"),
        ({"learning_rate": float("nan")}, "learning_rate is nan; .* finite"),
        ({"preview_steps": (11,)}, "preview_steps: 11 lies beyond the last step 10; use steps up to 10"),
    ],
)
def test_options_that_cannot_work_are_refused(options: dict, message: str):
    with pytest.raises(UserError, match=message):
        WganTraining(**{"steps": 10, **options})


def test_a_discriminator_takes_one_step_and_has_no_number_of_them():
    with pytest.raises(UserError, match="critic_steps is no option here"):
        DcganTraining(critic_steps=2)


def test_a_gan_learns_where_the_images_are(tmp_path: Path):
    # All images are one grey of 3/4 white, +0.5: the generator's mean pixel moves there from 0.
    config = WganTraining(
        steps=150, batch_size=16, learning_rate=2e-3, beta1=0.0, beta2=0.9, critic_steps=3, ema_decay=0.9
    )
    torch.manual_seed(3)
    grey = np.full((32, *SHAPE), 191, dtype=np.uint8)
    trained = Adversaries(
        Generator(3, 8, SHAPE),
        Discriminator(8, SHAPE, "layer"),
        Batches(grey, None, batch_size=16, seed=7),
        3,
        config,
        7,
    )
    result = train(trained, config, 7, state_dir=tmp_path, stamp="s", progress=False)
    network = Generator(3, 8, SHAPE)
    network.load_state_dict(result.averaged)
    with torch.inference_mode():
        mean = network.eval()(torch.randn(64, 3)).mean().item()
    assert mean == pytest.approx(0.498, abs=0.1)


def test_an_image_depends_on_its_latent_alone(tmp_path: Path):
    network = Generator(3, 4, SHAPE)
    network.load_state_dict(run("dcgan", tmp_path).averaged)
    z = torch.randn(6, 3)
    with torch.inference_mode():
        together, alone = network.eval()(z), torch.cat([network(row[None]) for row in z])
    torch.testing.assert_close(together, alone, atol=1e-6, rtol=0)


def test_the_held_out_bound_does_not_depend_on_the_batch(tmp_path: Path):
    torch.manual_seed(0)
    vae, images = VAE(3, 4, SHAPE).eval(), torch.from_numpy(IMAGES)
    whole, parts = (held_out_bound(vae, images, 5, draws=2, batch_size=size) for size in (20, 7))
    for ours, theirs in zip(whole, parts, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


if __name__ == "__main__":
    main(*sys.argv[1:])
