"""Models broken on purpose: the first finding names what was broken. Healthy ones: no finding."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from rediffuse.diagnosis.case import FINDING, OK, Case
from rediffuse.diagnosis.checks import CHECKS
from rediffuse.diagnosis.doctor import diagnose, examined
from rediffuse.diagnosis.subject import Averaging, Subject, kept_of_first
from rediffuse.diffusion import DiffusionProcess
from rediffuse.models.unet import UNet, build_unet
from rediffuse.training.ema import ExponentialMovingAverage
from tests.diagnosis.patients import CONFIG, STEPS, Pictures, subject, trained

IMAGES, DRAWN = 32, 10


def root(patient: Subject) -> str | None:
    """The check that names the root; those after it are not asked."""
    later = None
    for name, outcome in examined(Case(patient, IMAGES, DRAWN)):
        if outcome.verdict == FINDING and not outcome.consequence:
            return name
        if outcome.verdict == FINDING:
            later = later or name
    return later


def edited(network: UNet, **changes) -> UNet:
    """A copy with some tensors changed: by the name of a tensor, a function of it in place."""
    made = copy.deepcopy(network)
    with torch.no_grad():
        for name, change in changes.items():
            change(made.get_parameter(name.replace("__", ".")))
    return made.eval()


class Retimed(nn.Module):
    """A network whose training counted time otherwise."""

    def __init__(self, network, time) -> None:
        super().__init__()
        self.network, self.time = network, time

    def forward(self, x, t, y=None):
        return self.network(x, self.time(t), y)


def off_by(steps: int, network: UNet) -> dict:
    """The network at every fifth of its steps, as one of 20 steps whose training counted them from `steps`."""
    kept = torch.arange(4, STEPS, 5)
    process = DiffusionProcess.create("cosine", STEPS).respace(kept.tolist())
    retimed = Retimed(network, lambda t: 5 * (t - steps).clamp(min=0) + 4)
    return {"network": retimed, "process": DiffusionProcess(process.betas)}


def swapped(network: UNet) -> UNet:
    """As if trained on blue, green, red."""
    order = [2, 1, 0]
    return edited(
        network,
        input__weight=lambda w: w.copy_(w[:, order].clone()),
        output__weight=lambda w: w.copy_(w[[*order, 5, 4, 3]].clone()),
        output__bias=lambda b: b.copy_(b[[*order, 5, 4, 3]].clone()),
    )


def variance_turned(network: UNet) -> UNet:
    return edited(network, output__weight=lambda w: w[3:].neg_(), output__bias=lambda b: b[3:].neg_())


def lagging(base) -> dict[str, torch.Tensor]:
    """The average of a training whose decay is far too long, had the weights jumped to where they are at once."""
    kept, first = kept_of_first(0.999, 400, False), build_unet(CONFIG, 0).state_dict()
    return {name: kept * first[name] + (1 - kept) * value for name, value in base.raw.items()}


def loaded(network: UNet, state: dict[str, torch.Tensor]) -> UNet:
    made = copy.deepcopy(network)
    made.load_state_dict(state)
    return made


@pytest.fixture(scope="module")
def healthy(base, images):
    return subject(base.network, *images.coloured, averaging=Averaging())


def test_nothing_is_found_on_a_network_that_is_told_classes(healthy, base):
    patient = replace(healthy, averaging=Averaging("averaged", base.raw, 0.0))
    assert [check.name for check in diagnose(patient, images=IMAGES, steps=DRAWN).findings] == []


def test_nothing_is_found_on_a_grey_network(grey, images):
    averaging = Averaging("averaged", grey.raw, 0.0)
    patient = subject(grey.network, *images.grey, variance="fixed-small", classes=0, averaging=averaging)
    assert [check.name for check in diagnose(patient, images=IMAGES, steps=DRAWN).findings] == []


def test_nothing_is_found_on_one_that_predicts_x0_under_the_linear_schedule(linear, images):
    process = DiffusionProcess.create("linear", STEPS)
    how = {"prediction": "x0", "variance": "fixed-large", "classes": 0, "process": process}
    found = diagnose(subject(linear, *images.grey, **how), images=IMAGES, steps=DRAWN)
    assert [check.name for check in found.findings] == []


BROKEN = {
    "a layer of NaN": ("numbers", lambda n: {"network": None, "state": _with_nan(n)}),
    "an exploded layer": ("size", lambda n: {"state": {**n.state_dict(), "x": 300 * torch.ones(4, 4)}}),
    "dropout at work": ("mode", lambda n: {"network": _dropping(n)}),
    "a schedule cut short": ("schedule", lambda n: {"process": _cut_short()}),
    "channels swapped": ("channels", lambda n: {"network": swapped(n)}),
    "v taken for ε": ("prediction", lambda n: {"prediction": "eps"}),
    "another schedule": ("other-schedule", lambda n: {"process": DiffusionProcess.create("linear", STEPS)}),
    "time backwards": ("clock", lambda n: {"network": Retimed(n, lambda t: STEPS - 1 - t)}),
    "untrained": ("untrained", lambda n: {"network": build_unet(CONFIG, 1).eval()}),
    "untrained, its last layer drawn": ("untrained", lambda n: {"network": _random()}),
    "time ignored": (
        "time-ignored",
        lambda n: {"network": edited(n, time__linear2__weight=nn.init.zeros_, time__linear2__bias=nn.init.zeros_)},
    ),
    "time off by one": ("first-step", lambda n: off_by(1, n)),
    "labels permuted": (
        "labels",
        lambda n: {"network": edited(n, classes__weight=lambda w: w[:10].copy_(w[:10].roll(3, 0)))},
    ),
    "labels that tell nothing": (
        "labels",
        lambda n: {"network": edited(n, classes__weight=lambda w: w.copy_(w.mean(0).expand_as(w)))},
    ),
    "the variance's sign": ("variance", lambda n: {"network": variance_turned(n)}),
    "a cast": ("colour", lambda n: {"network": edited(n, output__bias=lambda b: b[0].sub_(0.15))}),
}


@pytest.mark.parametrize("what", BROKEN)
def test_the_first_finding_names_what_was_broken(healthy, base, what: str):
    expected, broken = BROKEN[what]
    assert root(replace(healthy, **broken(base.network))) == expected


def _with_nan(network: UNet) -> dict[str, torch.Tensor]:
    state = {name: value.clone() for name, value in network.state_dict().items()}
    state["down.0.stages.0.residual.conv1.weight"][0, 0, 0, 0] = float("nan")
    return state


def _dropping(network: UNet) -> UNet:
    dropping = UNet(CONFIG.replace(dropout=0.1))
    dropping.load_state_dict(network.state_dict())
    return dropping.train()


def _cut_short() -> DiffusionProcess:
    return DiffusionProcess(DiffusionProcess.create("cosine", STEPS).betas[:60])


def _random() -> UNet:
    return edited(
        build_unet(CONFIG, 1), output__weight=lambda w: w.normal_(0, 0.1, generator=torch.Generator().manual_seed(0))
    )


def test_weights_that_are_not_averaged_are_named_where_the_average_lies_beside_them(healthy, base):
    averaging = Averaging("raw", base.averaged)
    assert root(replace(healthy, network=loaded(base.network, base.raw), averaging=averaging)) == "averaging"


@pytest.mark.parametrize("known", ["from the settings", "from the raw weights"])
def test_an_average_of_too_long_a_decay_is_named(healthy, base, known: str):
    kept = kept_of_first(0.999, 400, False) if known == "from the settings" else None
    averaging = Averaging("averaged", None if kept else base.raw, kept)
    assert root(replace(healthy, network=loaded(base.network, lagging(base)), averaging=averaging)) == "averaging"


def test_images_in_another_range_are_named(healthy, base, images, tmp_path):
    # uint8 127.5 … 255 is [0, 1] to the network, whatever [−1, 1] it is said to have been trained on.
    training = images.coloured[0]
    shifted = Pictures(np.round(127.5 + training.images / 2).astype(np.uint8), training.labels)
    network, _ = trained(tmp_path, shifted, 80, network=base.network)
    assert root(replace(healthy, network=network)) == "normalisation"


def test_copies_are_named(healthy, base, images, tmp_path):
    few = Pictures(images.coloured[0].images[:8], images.coloured[0].labels[:8])
    network, _ = trained(tmp_path, few, 150, network=base.network)
    assert root(replace(healthy, network=network, training=few)) == "memory"


def test_time_that_is_counted_as_in_training_is_not_named(healthy, base):
    case = Case(replace(healthy, **off_by(0, base.network)), IMAGES, DRAWN)
    assert CHECKS["first-step"].code(case).verdict == OK


def test_what_is_left_of_the_first_weights_is_what_the_average_itself_leaves():
    for decay, warmup in ((0.9, False), (0.99, True)):
        network = nn.Linear(1, 1, bias=False)
        nn.init.ones_(network.weight)
        average = ExponentialMovingAverage(network, decay, warmup=warmup)
        nn.init.zeros_(network.weight)
        for _ in range(30):
            average.update()
        assert kept_of_first(decay, 30, warmup) == pytest.approx(float(average.model.weight), rel=1e-4)


def test_every_check_says_its_limit_why_that_and_what_to_do():
    assert all(check.limit and check.reason and check.remedy and check.measures for check in CHECKS.values())
