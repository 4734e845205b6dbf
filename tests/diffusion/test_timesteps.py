import numpy as np
import pytest
import torch

from rediffuse.diffusion import LossSecondMoment, UniformTimesteps, generator, make_timestep_sampler
from rediffuse.errors import UserError


def warmed_up(history=3, num=5, probability=0.001, extra=4):
    """A sampler that has seen `history + extra` losses at each t, and those losses [T, history + extra]."""
    losses = np.random.default_rng(0).exponential(np.arange(1, num + 1)[:, None], (num, history + extra))
    sampler = LossSecondMoment(num, history, probability)
    for column in losses.T:
        sampler.update(torch.arange(num), torch.from_numpy(column))
    return sampler, losses


def test_uniform_times_have_weight_one_and_cover_every_step():
    t, weights = UniformTimesteps(10).sample(5000, generator(0, "t"))
    assert torch.equal(weights, torch.ones(5000, dtype=torch.float64))
    # 500 expected of each; the standard deviation is 21.
    assert torch.bincount(t, minlength=10).sub(500).abs().max() < 90


def test_times_are_uniform_until_every_step_has_its_history():
    sampler = LossSecondMoment(3, history=2)
    for _ in range(2):
        sampler.update(torch.tensor([0, 1]), torch.tensor([9.0, 1.0]))
    torch.testing.assert_close(sampler.probabilities(), torch.full((3,), 1 / 3, dtype=torch.float64))


def test_probabilities_follow_the_root_of_the_mean_squared_recent_losses():
    sampler, losses = warmed_up()
    root = np.sqrt((losses[:, -3:] ** 2).mean(1))
    expected = root / root.sum() * 0.999 + 0.001 / 5
    np.testing.assert_allclose(sampler.probabilities(), expected, rtol=1e-13)


def test_one_batch_may_hold_a_step_many_times():
    sampler = LossSecondMoment(2, history=3)
    sampler.update(torch.tensor([0, 0, 1, 0, 0]), torch.tensor([1.0, 2.0, 7.0, 3.0, 4.0]))
    assert sampler.losses[0].tolist() == [2.0, 3.0, 4.0]
    assert sampler.losses[1].tolist() == [7.0, 0.0, 0.0]
    assert sampler.counts.tolist() == [3, 1]


def test_weights_leave_the_mean_loss_unbiased():
    sampler, _ = warmed_up()
    loss = torch.tensor([5.0, 1.0, 2.0, 0.5, 3.0], dtype=torch.float64)
    t, weights = sampler.sample(200_000, generator(0, "t"))
    torch.testing.assert_close(weights, 1 / (5 * sampler.probabilities()[t]))
    # The spread of a weighted loss is about 4: four standard errors are 0.036.
    assert float((weights * loss[t]).mean()) == pytest.approx(float(loss.mean()), abs=0.036)


def test_no_step_is_ever_forgotten():
    sampler = LossSecondMoment(4, history=1, uniform_probability=0.01)
    sampler.update(torch.arange(4), torch.tensor([0.0, 1.0, 1.0, 1.0]))
    assert float(sampler.probabilities()[0]) == pytest.approx(0.0025)


def test_the_state_restores_the_sampler_exactly():
    sampler, _ = warmed_up()
    other = LossSecondMoment(5, 3)
    other.load_state_dict(sampler.state_dict())
    more = torch.arange(5), torch.rand(5, generator=generator(3))
    sampler.update(*more)
    other.update(*more)
    assert torch.equal(sampler.probabilities(), other.probabilities())
    assert torch.equal(sampler.sample(50, generator(1))[0], other.sample(50, generator(1))[0])


def test_a_saved_state_is_not_changed_by_later_updates():
    sampler, _ = warmed_up()
    state = sampler.state_dict()
    before = state["losses"].clone()
    sampler.update(torch.arange(5), torch.full((5,), 100.0))
    assert torch.equal(state["losses"], before)


def test_a_state_of_another_size_is_refused():
    with pytest.raises(UserError, match="timesteps and history"):
        LossSecondMoment(5, 4).load_state_dict(LossSecondMoment(5, 3).state_dict())


@pytest.mark.parametrize(("name", "kind"), [("uniform", UniformTimesteps), ("loss-second-moment", LossSecondMoment)])
def test_samplers_are_made_by_name(name, kind):
    assert isinstance(make_timestep_sampler(name, 10), kind)


def test_an_unknown_name_is_refused():
    with pytest.raises(UserError, match="unknown timestep sampling 'importance'; choose one of uniform"):
        make_timestep_sampler("importance", 10)


def test_a_bad_history_is_refused():
    with pytest.raises(UserError, match="history"):
        LossSecondMoment(5, 0)
