"""Experiments and claims of theirs that cannot be: refused in one line, where they stand."""

import pytest

from rediffuse.errors import UserError


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"vary": {"training.batch_size": [16, 8]}, "arms": {"a": {"network": {"channels": 4}}}}, "use one of both"),
        ({"vary": {"evaluation.groups": [1, 2]}}, "'evaluation.groups' cannot be varied"),
        (
            {"vary": {"steps": [5, 0]}, "samplers": {"ddim": {}}},
            "0 is not allowed for baseline; use a number from 1 to 50",
        ),
        ({"vary": {"steps": list(range(1, 51)), "sampler.eta": [n / 10 for n in range(11)]}}, "use at most 400"),
        ({"vary": {"sampler": ["plms"]}}, "names no steps"),
        (
            {"arms": {"a": {"network": {"channels": 4}}}, "against": "b"},
            "against: 'b' is not one of the arms; use one of a",
        ),
        ({"curves": True}, "curves: draws losses beside one another, and this trains nothing; leave it out"),
        (
            {"samplers": {"flow-euler": {"steps": [5]}}},
            "none of them samples baseline, which predicts eps; use some of ancestral",
        ),
        ({"vary": {"diffusion.prediction": ["eps", "velocity"]}}, "none of them samples wrong-velocity"),
        ({"samplers": {"ddim": {}}}, "'ddim' names no steps; give it"),
        ({"samplers": {"ode-adaptive": {"tolerance": [0.1]}}, "vary": {"steps": [5]}}, "takes a number of steps"),
        ({"vary": {"sampler": ["ddim"], "steps": [5]}, "samplers": {"plms": {}}}, "plms: is not among vary.sampler"),
        ({"vary": {"sampler.etta": [0, 1]}}, "vary.sampler.etta: no sampler has such an option"),
        ({"vary": {"sampler.eta": [0, 2]}}, "vary.sampler.eta: eta is 2; it should be less than or equal to 1"),
        ({"vary": {"sampler.guidance": [0, 1]}}, "vary.sampler.guidance: 0.0 needs a class-conditional network"),
        (
            {"vary": {"sampler.step_temperature": [0.5]}},
            "vary.sampler.step_temperature: ddim with eta 0 draws no noise",
        ),
        ({"samplers": {"plms": {"steps": [5], "spacing": "cubic"}}}, "samplers.plms.spacing: 'cubic' is not allowed"),
        ({"vary": {"steps": [5, 5.0]}}, "vary.steps: lists no value, or one twice"),
        ({"vary": {"network.multipliers": [[[1, 2]]]}}, "should be a number, a word, true or false, or a list of them"),
        ({"vary": {"network.preset": ["nope"]}}, "there is no network preset 'nope'"),
        ({"vary": {"network.attention": [[4] * 40]}}, "of more than 60 letters; use arms, and name it"),
        ({"of": ["baseline", "baseline"]}, "names baseline twice"),
        ({"arms": {"idle": {"label": "nothing"}}}, "arms.idle: changes nothing; give it network"),
        ({"arms": {"improved": {"network": {"channels": 4}}}}, "arms.improved: would train 'improved', a name that is"),
        ({"of": "theirs", "vary": {"network.channels": [4]}}, "vary: theirs has weights from elsewhere"),
        ({"of": "theirs", "seeds": [0, 1]}, "seeds: theirs has weights from elsewhere"),
        ({"metrics": ["kid", "kid"]}, "metrics: names kid twice"),
        ({"metrics": ["class_accuracy"]}, "metrics: there is no class_accuracy of baseline/ddim-5"),
        ({"metrics": ["bits_per_dim"], "vary": {"network.channels": [8, 4]}}, "no bits_per_dim of wrong-4/ddim-5"),
        ({"picture": "heat-map", "vary": {"steps": [5, 6]}}, "a heat-map has two axes, this has steps"),
    ],
)
def test_an_experiment_that_cannot_be_made_is_refused_in_one_line_that_names_it(load, asked: dict, message: str):
    with pytest.raises(UserError, match=message) as caught:
        load(wrong=asked)
    assert "experiments.wrong." in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("claim", "message"),
    [
        ({"better": "baseline/ddim-5"}, "claims.0: a claim has one of: better [+] worse; .*; this one has better$"),
        ({"better": "baseline/ddim-5", "worse": "baseline/ddim-5"}, "claims.0: a claim compares a cell with itself"),
        (
            {"better": "baseline/ddim-5", "worse": "baselin/ddim-5"},
            "claims.0.worse: .*; did you mean 'baseline/ddim-5'",
        ),
        ({"better": "baseline/ddim-5", "worse": "real/noise", "times": 0.5}, "claims.0.times: 0.5 is not allowed"),
        ({"cells": ["baseline/ddim-5"] * 3, "trend": "flat"}, "claims.0.trend: flat goes with `within`"),
    ],
)
def test_a_claim_that_cannot_be_judged_is_refused_where_it_stands(load, claim: dict, message: str):
    with pytest.raises(UserError, match=f"experiments.wrong.{message}"):
        load(wrong={"claims": [{"claim": "a claim", "source": "a test", **claim}]})
