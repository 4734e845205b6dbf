"""Guidance against data whose class-conditional distributions are known in closed form."""

import pytest
import torch
from torch import Tensor

from rediffuse.diffusion.analytic import GaussianMixture, random_mixture
from rediffuse.diffusion.denoiser import Denoiser
from rediffuse.diffusion.process import DiffusionProcess
from rediffuse.diffusion.randomness import SampleNoise
from rediffuse.errors import UserError
from rediffuse.samplers.ancestral import ancestral
from rediffuse.samplers.ddim import ddim
from rediffuse.samplers.guidance import ClassifierFreeGuidance, ClassifierGuidance

CLASSES = 3
WHOLE = DiffusionProcess.create("linear", 1000)
SHORT = WHOLE.respace(range(0, 1000, 27))
LABELS = torch.tensor([0, 1, 2, 2, 1, 0, 1])


@pytest.fixture
def mixture() -> GaussianMixture:
    return random_mixture(CLASSES, (2, 2, 2), seed=1)


def noise() -> SampleNoise:
    return SampleNoise(0, torch.arange(len(LABELS)), (2, 2, 2), dtype=torch.float64)


def guided(mixture: GaussianMixture, scale: float, prediction: str = "eps", **options: bool) -> ClassifierFreeGuidance:
    return ClassifierFreeGuidance(mixture.model(WHOLE, prediction, **options), scale, null_label=CLASSES)


def test_guidance_is_the_line_through_the_unconditional_and_the_conditional_output(mixture):
    model, t, x = mixture.model(WHOLE), torch.full((7,), 400), noise().initial()
    conditional, unconditional = model(x, t, LABELS), model(x, t, torch.full_like(LABELS, CLASSES))
    for scale in (0.0, 0.5, 1.0, 3.0):
        expected = unconditional + scale * (conditional - unconditional)
        torch.testing.assert_close(guided(mixture, scale)(x, t, LABELS), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("scale", "batch"), [(3.0, 14), (1.0, 7), (0.0, 7)])
def test_guidance_asks_the_network_once(mixture, scale, batch):
    sizes = []
    model = mixture.model(WHOLE)

    def counted(x: Tensor, t: Tensor, y: Tensor | None) -> Tensor:
        sizes.append((len(x), len(y)))
        return model(x, t, y)

    x = noise().initial()
    ClassifierFreeGuidance(counted, scale, CLASSES)(x, torch.full((7,), 400), LABELS)
    assert sizes == [(batch, batch)]


def test_one_time_for_the_whole_batch_is_passed_on_as_it_is():
    def network(x: Tensor, t: Tensor, y: Tensor | None) -> Tensor:
        assert t.shape == (1,)
        return x

    x = noise().initial()
    ClassifierFreeGuidance(network, 2.0, CLASSES)(x, torch.tensor([400]), LABELS)


def test_guidance_gives_the_same_samples_whatever_the_network_predicts(mixture):
    samples = [
        ddim(Denoiser(guided(mixture, 2.5, p), SHORT, prediction=p, labels=LABELS, clip=False), noise())
        for p in ("eps", "x0", "v", "mu")
    ]
    for x in samples[1:]:
        torch.testing.assert_close(x, samples[0], rtol=0, atol=1e-8)


def test_guidance_leaves_a_learned_variance_to_the_conditional_half(mixture):
    model, t, x = mixture.model(WHOLE, learned_variance=True), torch.full((7,), 400), noise().initial()
    output = guided(mixture, 3.0, learned_variance=True)(x, t, LABELS)
    assert output.shape == (7, 4, 2, 2)
    torch.testing.assert_close(output[:, 2:], model(x, t, LABELS)[:, 2:], rtol=0, atol=1e-12)
    torch.testing.assert_close(output[:, :2], guided(mixture, 3.0)(x, t, LABELS), rtol=0, atol=1e-12)


def test_guidance_raises_the_accuracy_of_overlapping_classes():
    mixture = random_mixture(CLASSES, (2, 2, 2), seed=1, spread=0.12)
    indices = torch.arange(600)
    labels = indices % CLASSES
    many = SampleNoise(0, indices, (2, 2, 2), dtype=torch.float64)

    def accuracy(scale: float) -> float:
        x = ddim(Denoiser(guided(mixture, scale), SHORT, labels=labels, clip=False), many)
        return float((mixture.responsibilities(x).argmax(1) == labels).double().mean())

    chance, plain, strong = map(accuracy, (0.0, 1.0, 3.0))
    assert chance == pytest.approx(1 / 3, abs=0.06)
    assert 0.6 < plain < strong - 0.05


def test_guidance_without_labels_says_so(mixture):
    with pytest.raises(UserError, match="labels"):
        ddim(Denoiser(guided(mixture, 2.0), SHORT), noise())


def exact_classifier(mixture: GaussianMixture):
    def classify(x: Tensor, t: Tensor) -> Tensor:
        a, s = WHOLE.at("signal", t, x).flatten(), WHOLE.at("noise", t, x).flatten()
        return mixture.responsibilities(x, a, s).log()

    return classify


@pytest.mark.parametrize("t", [3, 20, 36])
def test_a_perfect_classifier_turns_the_unconditional_model_into_the_conditional_one(mixture, t):
    # Bayes: grad log p(x | y) = grad log p(x) + grad log p(y | x).
    plain = Denoiser(mixture.model(WHOLE), SHORT, clip=False)
    conditional = plain.with_labels(LABELS)
    by_classifier = ClassifierGuidance(plain, exact_classifier(mixture), LABELS)
    x = SHORT.q_sample(noise().step(0) * 0.3, t, noise().initial())
    torch.testing.assert_close(by_classifier(x, t).eps, conditional(x, t).eps, rtol=0, atol=1e-9)
    torch.testing.assert_close(by_classifier(x, t).x0, conditional(x, t).x0, rtol=1e-9, atol=1e-8)
    times = torch.full((7,), t)
    torch.testing.assert_close(by_classifier(x, times).eps, by_classifier(x, t).eps, rtol=0, atol=1e-12)


def test_a_perfect_classifier_gives_the_conditional_samples_by_ddim(mixture):
    plain = Denoiser(mixture.model(WHOLE), SHORT, clip=False)
    x = ddim(ClassifierGuidance(plain, exact_classifier(mixture), LABELS), noise())
    torch.testing.assert_close(x, ddim(plain.with_labels(LABELS), noise()), rtol=0, atol=1e-7)


def test_classifier_guidance_shifts_the_mean_by_variance_times_gradient(mixture):
    plain = Denoiser(mixture.model(WHOLE), SHORT, clip=False)
    guidance = ClassifierGuidance(plain, exact_classifier(mixture), LABELS, scale=2.0)
    x = noise().initial()
    before, after = plain(x, 30), guidance(x, 30)
    expected = before.mean + 2.0 * before.variance * guidance.gradient(x, 30)
    torch.testing.assert_close(after.mean, expected, rtol=0, atol=1e-12)
    assert float((after.mean - before.mean).abs().max()) > 1e-4


def test_classifier_guidance_works_in_inference_mode():
    classifier = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(8, CLASSES)).double()
    plain = Denoiser(lambda x, t: 0.5 * x, SHORT)
    guidance = ClassifierGuidance(plain, lambda x, t: classifier(x) * t[:, None], LABELS)
    with torch.inference_mode():
        inside = ddim(guidance, noise())
    assert torch.equal(inside, ddim(guidance, noise()))


def test_classifier_guidance_brings_ancestral_sampling_to_the_class(mixture):
    labels = torch.arange(300) % CLASSES
    plain = Denoiser(mixture.model(WHOLE), WHOLE.respace(range(0, 1000, 9)), clip=False)
    many = SampleNoise(0, torch.arange(300), (2, 2, 2), dtype=torch.float64)
    x = ancestral(ClassifierGuidance(plain, exact_classifier(mixture), labels), many)
    assert float((mixture.responsibilities(x).argmax(1) == labels).double().mean()) > 0.95


def test_clipping_keeps_the_shifted_estimate_in_range_and_eps_with_it(mixture):
    denoiser = Denoiser(mixture.model(WHOLE), WHOLE, clip=True)

    def classifier(x: Tensor, t: Tensor) -> Tensor:
        return x.flatten(1)[:, :CLASSES] * 5

    x, t = noise().initial(), 900
    loose = ClassifierGuidance(denoiser, classifier, LABELS, 3.0)(x, t)
    clipped = ClassifierGuidance(denoiser, classifier, LABELS, 3.0, clip=True)(x, t)
    assert loose.x0.abs().max() > 2
    assert torch.equal(clipped.x0, loose.x0.clamp(-1, 1))
    signal, level = WHOLE.alphas_bar[t].sqrt(), (1 - WHOLE.alphas_bar[t]).sqrt()
    torch.testing.assert_close(signal * clipped.x0 + level * clipped.eps, x, rtol=0, atol=1e-12)
    assert torch.equal(clipped.mean, loose.mean)


def test_labels_made_in_inference_mode_can_guide(mixture):
    denoiser = Denoiser(mixture.model(WHOLE), WHOLE, clip=False)

    def classifier(x: Tensor, t: Tensor) -> Tensor:
        return x.flatten(1)[:, :CLASSES]

    expected = ClassifierGuidance(denoiser, classifier, LABELS)(noise().initial(), 500)
    with torch.inference_mode():
        got = ClassifierGuidance(denoiser, classifier, torch.tensor(LABELS.tolist()))(noise().initial(), 500)
    assert torch.equal(got.x0, expected.x0)
