"""Advice on settings of the hardware, from made-up seconds."""

import pytest

from rediffuse.cost import advice
from rediffuse.cost.advice import advise, told
from rediffuse.hardware import Hardware
from rediffuse.models.presets import PRESETS

#: Seconds of two passes in each of three rounds; the third round met a busy machine.
BUSY = (1.0, 1.0, 3.0)


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch):
    """Set what each way takes, as a part of what the study's own settings take."""
    monkeypatch.setenv("CXX", "no-such-compiler")

    def set_to(parts: dict[str, float]) -> None:
        def rounds(jobs, **rest):
            seconds = {job: parts.get(job.split(" ", 1)[1], 1.0) for job in jobs}
            return {
                job: {"forward": [one * part for one in BUSY], "backward": [2 * one * part for one in BUSY]}
                for job, part in seconds.items()
            }

        monkeypatch.setattr(advice, "interleaved", rounds)

    return set_to


def test_the_fastest_settings_in_training_are_advised_with_their_gain(timed):
    both = "precision: bfloat16, channels_last: true"
    timed({"": 1.0, "precision: bfloat16": 0.8, both: 0.4})
    best = advise(PRESETS["micro-digits"], 2, 2, Hardware(), rounds=3).best
    assert best is not None
    assert told(best.hardware, Hardware()) == both
    assert best.gain.training is not None
    assert (best.gain.training.median, best.gain.training.low) == (pytest.approx(2.5), pytest.approx(2.5))


def test_settings_that_gain_nothing_in_every_round_are_not_advised(timed):
    timed({})
    found = advise(PRESETS["micro-digits"], 2, 2, Hardware(), rounds=3)
    assert found.best is None
    assert len(found.tried) == 3


def test_what_cannot_be_tried_is_left_out_with_the_reason(timed):
    timed({})
    left = advise(PRESETS["micro-digits"], 2, 2, Hardware(), rounds=3).left_out
    assert left == {"compile: true": "there is no C++ compiler"}


def test_compiling_is_tried_with_the_fastest_of_the_other_settings(timed):
    timed({"precision: bfloat16": 0.5})
    left = advise(PRESETS["micro-digits"], 2, 2, Hardware(), rounds=3).left_out
    assert list(left) == ["precision: bfloat16, compile: true"]
