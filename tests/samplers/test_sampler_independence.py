"""Image i depends on seed and i alone, not on batch, shard or (beyond rounding) precision; and what samplers cost."""

import pytest
import torch
from torch import Tensor

from rediffuse.diffusion.denoiser import Denoiser
from rediffuse.diffusion.interpolant import VelocityField
from rediffuse.diffusion.process import DiffusionProcess
from rediffuse.diffusion.randomness import SampleNoise
from rediffuse.errors import UserError
from rediffuse.samplers.interfaces import EvaluationCounter
from rediffuse.samplers.registry import SAMPLERS, check_request, get_sampler

SHAPE = (1, 4, 4)


def network(x: Tensor, t: Tensor) -> Tensor:
    time = t.reshape(-1, 1, 1, 1).to(x.dtype) / 1000
    return 0.9 * time * x + 0.2 * torch.sin(2 * x.roll(1, -1) + time)


def sample(name: str, indices: Tensor, dtype: torch.dtype = torch.float64) -> Tensor:
    spec = SAMPLERS[name]
    noise = SampleNoise(7, indices, SHAPE, dtype=dtype)
    if spec.path == "interpolant":
        return spec.run(VelocityField(network), noise, steps=6)
    whole = DiffusionProcess.create("linear", 1000)
    process = whole if name == "ode-adaptive" else whole.respace(range(0, 1000, 111))
    options = {"eta": 0.6} if "eta" in spec.options else {}
    return spec.run(Denoiser(network, process), noise, **options)


@pytest.mark.parametrize("name", SAMPLERS)
def test_an_image_does_not_depend_on_its_batch_or_its_shard(name):
    whole = sample(name, torch.arange(7))
    assert torch.equal(sample(name, torch.tensor([4])), whole[4:5])
    assert torch.equal(torch.cat([sample(name, torch.arange(0, 3)), sample(name, torch.arange(3, 7))]), whole)
    assert torch.equal(sample(name, torch.tensor([5, 1])), whole[[5, 1]])


@pytest.mark.parametrize("name", SAMPLERS)
def test_float32_samples_are_those_of_float64_to_rounding(name):
    low, high = sample(name, torch.arange(7), torch.float32), sample(name, torch.arange(7))
    assert low.dtype == torch.float32
    # The adaptive solver may choose other steps, within its tolerance of 1e-3.
    torch.testing.assert_close(low.double(), high, rtol=0, atol=1e-3 if name == "ode-adaptive" else 5e-5)


@pytest.mark.parametrize("name", SAMPLERS)
def test_no_graph_is_built_while_sampling(name):
    assert not sample(name, torch.arange(2)).requires_grad


@pytest.mark.parametrize("name", [n for n, spec in SAMPLERS.items() if spec.path == "diffusion" and spec.evaluations])
@pytest.mark.parametrize("steps", [1, 2, 10])
def test_each_sampler_makes_the_network_evaluations_it_declares(name, steps):
    process = DiffusionProcess.create("linear", 1000).respace(range(0, 1000, 111)[-steps:])
    counter = EvaluationCounter(Denoiser(network, process))
    SAMPLERS[name].run(counter, SampleNoise(7, torch.arange(2), SHAPE))
    assert counter.forwards == SAMPLERS[name].nfe(steps)


def test_evaluations_are_counted_where_the_process_is_exchanged():
    called = []
    denoiser = Denoiser(lambda x, t: (called.append(t), network(x, t))[1], DiffusionProcess.create("linear", 1000))
    counter = EvaluationCounter(denoiser)
    SAMPLERS["ode-adaptive"].run(counter, SampleNoise(7, torch.arange(2), SHAPE), tolerance=0.1)
    assert counter.forwards == len(called) > 5


@pytest.mark.parametrize("name", ["flow-euler", "flow-heun"])
def test_each_flow_makes_the_network_evaluations_it_declares(name):
    calls = []
    field = VelocityField(lambda x, t: (calls.append(t), network(x, t))[1])
    SAMPLERS[name].run(field, SampleNoise(7, torch.arange(2), SHAPE), steps=5)
    assert len(calls) == SAMPLERS[name].nfe(5)


@pytest.mark.parametrize("name", [name for name, spec in SAMPLERS.items() if not spec.stochastic])
def test_a_deterministic_sampler_draws_nothing_after_the_start(name, given_noise):
    spec = SAMPLERS[name]
    start = SampleNoise(7, torch.arange(2), SHAPE).initial()
    process = DiffusionProcess.create("linear", 1000).respace(range(0, 1000, 111))
    denoiser = VelocityField(network) if spec.path == "interpolant" else Denoiser(network, process)
    spec.run(denoiser, given_noise(start))


def test_the_temperatures_scale_the_start_and_the_step_noise():
    process = DiffusionProcess.create("linear", 1000).respace(range(0, 1000, 111))
    denoiser = Denoiser(network, process, clip=False)

    def spread(initial: float, step: float) -> float:
        noise = SampleNoise(
            7, torch.arange(200), SHAPE, initial_temperature=initial, step_temperature=step, dtype=torch.float64
        )
        return float(SAMPLERS["ancestral"].run(denoiser, noise).std(0).mean())

    assert spread(0.5, 0.5) < spread(1, 0.5) < spread(1, 1) < spread(1, 1.5)
    assert spread(0.0, 0.0) == 0.0


@pytest.mark.parametrize(
    ("name", "steps", "options", "message"),
    [
        ("ddim-x", 10, {}, "unknown; use one of ancestral, ddim"),
        ("ddim", 1001, {}, "trained with 1000"),
        ("ddim", 0, {}, "1 to 1000"),
        ("ddim", 10, {"eta": 1.5}, "eta = 1.5"),
        ("plms", 10, {"eta": 0.5}, "no option 'eta': it takes no options"),
        ("dpm-solver-pp", 10, {"order": 3}, "order = 3 .* 1 or 2"),
        ("ode-adaptive", 10, {"tolerance": 0.0}, "tolerance = 0.0 .* greater than or equal"),
    ],
)
def test_a_bad_request_is_refused_in_one_line(name, steps, options, message):
    with pytest.raises(UserError, match=message) as caught:
        check_request(name, steps=steps, timesteps=1000, options=options)
    assert "\n" not in str(caught.value)


def test_a_good_request_gives_the_sampler():
    assert check_request("ddim", steps=1000, timesteps=1000, options={"eta": 0.5}) is get_sampler("ddim")
    # A flow has continuous time: T does not bound its steps.
    assert check_request("flow-heun", steps=2000, timesteps=1000).name == "flow-heun"
