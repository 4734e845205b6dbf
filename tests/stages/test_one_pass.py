"""Images of one-pass models as the stages draw them, and their weights as the stages read them."""

from pathlib import Path

import pytest
import torch

from rediffuse.config import load_study
from rediffuse.data.registry import load
from rediffuse.errors import UserError
from rediffuse.jobs.one_pass import draw_images
from rediffuse.runs import facts
from rediffuse.runs.networks import build, generator_of, trained_network
from rediffuse.weights import write_weights

ROOT = Path(__file__).resolve().parents[2]
IMAGES = load("smoke")
MODELS = facts.one_pass_runs(load_study(ROOT / "studies" / "smoke.yaml"))


@pytest.mark.parametrize("name", MODELS)
def test_image_i_depends_on_the_seed_and_i_alone(name: str):
    network = generator_of(build(MODELS[name], IMAGES, 1)).eval()
    whole = draw_images(network, facts.latent(MODELS[name]).latent, 5, torch.arange(9), "cpu")
    some = draw_images(network, facts.latent(MODELS[name]).latent, 5, torch.tensor([7, 2]), "cpu")
    torch.testing.assert_close(some, whole[[7, 2]], atol=1e-6, rtol=0)
    other = draw_images(network, facts.latent(MODELS[name]).latent, 6, torch.arange(9), "cpu")
    assert (other - whole).abs().max() > 1e-3


@pytest.mark.parametrize("name", MODELS)
def test_weights_are_drawn_from_the_seed_alone_and_read_as_they_were_written(name: str, tmp_path: Path):
    torch.manual_seed(1)
    one = build(MODELS[name], IMAGES, 7)
    torch.manual_seed(2)
    write_weights(tmp_path / "w.safetensors", build(MODELS[name], IMAGES, 7).state_dict(), {})
    read = trained_network(MODELS[name], IMAGES, tmp_path / "w.safetensors").state_dict()
    assert all(torch.equal(value, read[key]) for key, value in one.state_dict().items())


def test_weights_of_another_model_or_none_are_refused_with_one_line(tmp_path: Path):
    with pytest.raises(UserError, match=r"no weights of run vae; make them first$"):
        trained_network(MODELS["vae"], IMAGES, tmp_path / "w.safetensors")
    write_weights(tmp_path / "w.safetensors", build(MODELS["dcgan"], IMAGES).state_dict(), {})
    with pytest.raises(UserError, match="not the weights of run vae"):
        trained_network(MODELS["vae"], IMAGES, tmp_path / "w.safetensors")


def test_the_studys_settings_reach_the_trainer():
    config = MODELS["wgan-gp"].training
    assert (config.steps, config.batch_size, config.critic_steps) == (15, 16, 2)
    assert (config.betas, config.gradient_penalty, config.learning_rate) == ((0.0, 0.9), 10.0, 1e-4)
