"""Trajectories, variations of a sample, and generation in batches."""

import pytest
import torch
from torch import Tensor

from rediffuse.diffusion.denoiser import Denoiser
from rediffuse.diffusion.interpolant import VelocityField
from rediffuse.diffusion.pixels import to_uint8
from rediffuse.diffusion.process import DiffusionProcess
from rediffuse.diffusion.randomness import SampleNoise
from rediffuse.errors import UserError
from rediffuse.samplers.adaptive import solve_adaptive
from rediffuse.samplers.continuous import refined, time_of_level
from rediffuse.samplers.ddim import ddim
from rediffuse.samplers.generate import generate
from rediffuse.samplers.interfaces import EvaluationCounter, over
from rediffuse.samplers.registry import SAMPLERS
from rediffuse.samplers.trajectory import Trajectory, evenly
from rediffuse.samplers.variations import BlendedNoise, variations

SHAPE = (3, 4, 4)
WHOLE = DiffusionProcess.create("linear", 1000)
SHORT = WHOLE.respace(range(0, 1000, 111))


def network(x: Tensor, t: Tensor) -> Tensor:
    time = t.reshape(-1, 1, 1, 1).to(x.dtype) / 1000
    return 0.9 * time * x + 0.2 * torch.sin(2 * x.roll(1, -1) + time)


def noise(count: int = 3) -> SampleNoise:
    return SampleNoise(1, torch.arange(count), SHAPE, dtype=torch.float64)


def test_a_trajectory_holds_the_states_before_each_step_and_the_estimates_made_there():
    trajectory = Trajectory()
    x = ddim(Denoiser(network, SHORT), noise(), callback=trajectory)
    assert trajectory.t == list(range(9, -1, -1))
    assert torch.equal(trajectory.x[0], noise().initial())
    assert torch.equal(trajectory.x0[4], Denoiser(network, SHORT)(trajectory.x[4], 5).x0)
    torch.testing.assert_close(trajectory.x0[-1], x, rtol=0, atol=1e-12)


def test_a_film_strip_has_the_chosen_frames_of_one_image():
    trajectory = Trajectory(keep=evenly(4, 10), images=2)
    ddim(Denoiser(network, SHORT), noise(), callback=trajectory)
    assert trajectory.t == [9, 6, 3, 0]
    assert trajectory.x[0].shape == (2, *SHAPE)
    strip = trajectory.strip(1)
    assert strip.shape == (2, 4, *SHAPE)
    assert torch.equal(strip[0, 0], noise().initial()[1])


@pytest.mark.parametrize("name", SAMPLERS)
def test_watching_a_sampler_changes_nothing_and_starts_at_the_noise(name):
    spec = SAMPLERS[name]
    source = VelocityField(network) if spec.path == "interpolant" else Denoiser(network, SHORT)
    trajectory = Trajectory()
    watched = spec.run(source, noise(), callback=trajectory)
    assert torch.equal(watched, spec.run(source, noise()))
    assert torch.equal(trajectory.x[0], noise().initial())
    assert trajectory.strip(0).shape[2:] == SHAPE


def test_frames_are_spread_evenly_with_both_ends():
    assert evenly(5, 1000) == [0, 250, 500, 749, 999]
    assert evenly(1, 10) == [9]
    assert evenly(10, 10) == list(range(10))
    with pytest.raises(UserError, match="1 to 10"):
        evenly(11, 10)


def test_variations_grow_from_the_sample_itself_to_new_samples():
    denoiser = Denoiser(network, SHORT)
    sample = ddim(denoiser, noise(), eta=0.5)[2]

    def spread(strength: float) -> float:
        varied = variations(1, 2, 6, SHAPE, strength=strength, dtype=torch.float64)
        return float((ddim(denoiser, varied, eta=0.5) - sample).abs().mean())

    assert spread(0.0) < 1e-12
    assert 0.001 < spread(0.1) < spread(0.4) < spread(1.0)


def test_variations_are_repeatable_and_do_not_depend_on_their_number():
    first = variations(1, 2, 6, SHAPE, strength=0.3, dtype=torch.float64)
    again = variations(1, 2, 3, SHAPE, strength=0.3, dtype=torch.float64)
    other = variations(1, 2, 3, SHAPE, strength=0.3, variation_seed=8, dtype=torch.float64)
    assert torch.equal(first.initial()[:3], again.initial())
    assert torch.equal(first.step(4)[:3], again.step(4))
    assert not torch.equal(again.initial(), other.initial())


def test_blended_noise_keeps_the_variance():
    many = [SampleNoise(seed, torch.arange(4000), (1, 2, 2), dtype=torch.float64) for seed in (1, 2)]
    for strength in (0.0, 0.3, 1.0):
        blended = BlendedNoise(*many, strength)
        assert float(blended.initial().std()) == pytest.approx(1, abs=0.02)
        assert float(blended.step(3).std()) == pytest.approx(1, abs=0.02)
    with pytest.raises(UserError, match="strength"):
        BlendedNoise(*many, 1.5)


def test_pixels_map_to_all_levels_of_uint8():
    levels = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(to_uint8(levels.float() / 127.5 - 1), levels)
    assert to_uint8(torch.tensor([-1.5, 1.5])).tolist() == [0, 255]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_images_that_are_not_finite_are_refused_rather_than_drawn_black(value):
    images = torch.zeros(3, 1, 2, 2)
    images[1, 0, 1, 1] = value
    with pytest.raises(UserError, match="1 of 3 images hold NaN or infinity"):
        to_uint8(images)


def test_generation_gives_every_index_once_in_order_whatever_the_batch():
    denoiser = Denoiser(network, SHORT)
    progress = []

    def sample(indices: Tensor) -> Tensor:
        assert len(indices) <= 4
        return ddim(denoiser, SampleNoise(1, indices, SHAPE))

    batches = list(generate(sample, torch.arange(10), 4, on_progress=lambda *done: progress.append(done)))
    assert [len(batch) for batch in batches] == [4, 4, 2]
    assert progress == [(4, 10), (8, 10), (10, 10)]
    images = torch.cat(batches)
    assert images.dtype == torch.uint8
    assert torch.equal(images, to_uint8(ddim(denoiser, SampleNoise(1, torch.arange(10), SHAPE))))


def test_generation_is_lazy():
    made = []
    batches = generate(lambda i: made.append(i) or torch.zeros(len(i), *SHAPE), torch.arange(10), 2)
    next(batches)
    assert len(made) == 1
    with pytest.raises(UserError, match="batch_size"):
        next(generate(lambda i: i, torch.arange(3), 0))


def test_a_wrapped_denoiser_moves_to_another_process():
    wrapped = EvaluationCounter(Denoiser(network, SHORT))
    moved = over(wrapped, WHOLE)
    assert moved.process is WHOLE
    assert wrapped.process is SHORT
    with pytest.raises(TypeError, match="function"):
        over(network, WHOLE)


def test_a_refined_process_keeps_the_ends_and_gives_fractional_times():
    fine = refined(WHOLE, 400)
    assert fine.num_timesteps == 401
    torch.testing.assert_close(fine.alphas_bar[[0, -1]], WHOLE.alphas_bar[[0, -1]], rtol=1e-9, atol=0)
    assert float(fine.timestep_map[0]) == pytest.approx(0, abs=1e-6)
    assert float(fine.timestep_map[-1]) == pytest.approx(999, abs=1e-6)
    assert bool((fine.timestep_map.diff() > 0).all())
    torch.testing.assert_close(time_of_level(WHOLE, WHOLE.alphas_bar), torch.arange(1000.0).double(), rtol=0, atol=1e-6)


def test_a_network_that_predicts_mu_cannot_be_asked_between_its_steps():
    denoiser = Denoiser(network, WHOLE, prediction="mu")
    with pytest.raises(UserError, match="fractional=False"):
        solve_adaptive(denoiser, noise())
    with pytest.raises(UserError, match="tolerance"):
        solve_adaptive(denoiser, noise(), tolerance=0.0)


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_a_batch_that_is_not_finite_is_refused_by_its_indices(value):
    def sample(indices: Tensor) -> Tensor:
        return torch.where(indices >= 6, value, 0.0).reshape(-1, 1, 1, 1)

    batches = generate(sample, torch.arange(10), 4, name="a setting")
    assert next(batches).shape == (4, 1, 1, 1)
    with pytest.raises(UserError, match="^a setting, images 4 to 7: 2 of 4 images hold NaN"):
        next(batches)


def test_variations_do_not_depend_on_the_batch():
    how = {"strength": 0.3, "dtype": torch.float64, "initial_temperature": 0.5}
    whole = variations(1, 0, 5, SHAPE, **how)
    part = variations(1, 0, 2, SHAPE, first=3, **how)
    assert torch.equal(whole.initial()[3:], part.initial())
    assert torch.equal(whole.step(2)[3:], part.step(2))
