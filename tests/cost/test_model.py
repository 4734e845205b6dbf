"""The cost model's arithmetic and the statistics of timings, on numbers chosen by hand."""

import pytest
import torch

from rediffuse.cost.model import CostModel
from rediffuse.cost.timing import Passes, Spread, interleaved, time_inference, time_passes
from rediffuse.errors import UserError
from rediffuse.models.presets import PRESETS
from rediffuse.models.unet import UNet


def test_training_is_steps_times_forward_and_backward():
    model = CostModel.measured(10**9, kappa=2.0, training=(128, 0.5), sampling=(100, 0.25))
    assert model.training_seconds(1000, 128) == pytest.approx(1000 * (0.5 + 2.0 * 0.5), rel=1e-12)


def test_checkpointing_adds_one_forward_pass():
    model = CostModel.measured(10**9, kappa=2.0, training=(128, 0.5), sampling=(100, 0.25))
    more = model.training_seconds(1, 128, checkpointing=True) - model.training_seconds(1, 128)
    assert more == pytest.approx(0.5, rel=1e-12)


def test_sampling_is_evaluations_times_images():
    model = CostModel.measured(10**9, kappa=2.0, training=(128, 0.5), sampling=(100, 0.25))
    assert model.sampling_seconds(50, 300) == pytest.approx(50 * 3 * 0.25, rel=1e-12)


def test_a_time_of_nothing_is_refused():
    with pytest.raises(UserError, match="sampling is 0"):
        CostModel.measured(1, 1.0, (1, 1.0), (1, 0))


def test_kappa_pairs_the_passes_of_a_round():
    passes = Passes.of(8, {"forward": [1.0, 2.0, 4.0], "backward": [2.0, 4.0, 12.0]})
    assert (passes.kappa.low, passes.kappa.median, passes.kappa.high) == (2.0, 2.0, 2.5)


def test_quartiles_of_five_values():
    assert Spread.of([5.0, 1.0, 3.0, 2.0, 4.0]) == Spread(median=3.0, low=2.0, high=4.0, repeats=5)


def test_one_measurement_has_no_spread():
    with pytest.raises(UserError, match="at least 2"):
        Spread.of([1.0])


def test_jobs_take_turns_and_the_warm_up_does_not_count():
    order = []

    def job(name: str):
        def work() -> dict[str, float]:
            order.append(name)
            return {"part": float(len(order))}

        return work

    result = interleaved({"a": job("a"), "b": job("b")}, repeats=2, warmup=1)
    assert order == ["a", "b"] * 3
    assert result == {"a": {"part": [3.0, 5.0]}, "b": {"part": [4.0, 6.0]}}


def test_timing_a_network_leaves_no_gradients_and_measures_every_pass():
    network, x = UNet(PRESETS["micro-digits"]), torch.zeros(4, 1, 8, 8)
    passes = time_passes(network, x, repeats=2)
    assert passes.forward.low > 0
    assert passes.backward.low > 0
    assert time_inference(network, x, repeats=2).low > 0
    assert all(parameter.grad is None for parameter in network.parameters())
