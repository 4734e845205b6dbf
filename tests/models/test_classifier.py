"""The noise-conditional classifier: its shape, its pooling, and that it knows the analytic posterior of a mixture."""

import pytest
import torch
from torch import Tensor

from rediffuse.diffusion.process import DiffusionProcess
from rediffuse.errors import UserError
from rediffuse.models import preset
from rediffuse.models.classifier import AttentionPool, NoiseClassifier
from rediffuse.training.classification import ClassificationObjective

CONFIG = preset("micro-digits")


def awake(pooling: str = "attention") -> NoiseClassifier:
    torch.manual_seed(0)
    model = NoiseClassifier(CONFIG, 5, pooling)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, parameter[0].numel() ** -0.5 if parameter.ndim > 1 else 0.3)
    return model.eval()


@pytest.mark.parametrize("pooling", ["attention", "average"])
def test_a_fresh_classifier_favours_no_class(pooling: str) -> None:
    logits = NoiseClassifier(CONFIG, 5, pooling)(torch.randn(3, 1, 8, 8), torch.tensor([0, 5, 9]))
    assert logits.shape == (3, 5)
    assert torch.count_nonzero(logits) == 0


@pytest.mark.parametrize("pooling", ["attention", "average"])
def test_every_parameter_is_trained_and_the_time_is_heard(pooling: str) -> None:
    model = awake(pooling)
    x = torch.randn(4, 1, 8, 8)
    torch.nn.functional.cross_entropy(model(x, torch.tensor([1, 10, 100, 900])), torch.tensor([0, 1, 2, 3])).backward()
    # The key's bias adds the same to every token's score, which softmax does not see: its gradient is rounding alone.
    assert [n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []
    assert not torch.allclose(model(x, torch.tensor([0])), model(x, torch.tensor([999])), atol=1e-3)


def test_images_of_a_batch_are_classified_independently() -> None:
    model, x, t = awake(), torch.randn(3, 1, 8, 8), torch.tensor([0, 5, 9])
    alone = torch.cat([model(x[i : i + 1], t[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(model(x, t), alone, rtol=1e-5, atol=1e-6)


def test_attention_pooling_is_softmax_attention_of_the_mean_written_out_by_hand() -> None:
    torch.manual_seed(0)
    pool, x = AttentionPool(6, 2, heads=2).double(), torch.randn(2, 6, 2, 2, dtype=torch.float64)
    for image, got in zip(x, pool(x), strict=True):
        tokens = [image[:, i, j] for i in range(2) for j in range(2)]
        tokens = torch.stack([torch.stack(tokens).mean(0), *tokens]) + pool.position
        query, (key, value) = pool.query(tokens[0]), pool.key_value(tokens).split(6, dim=1)
        heads = []
        for part in (slice(0, 3), slice(3, 6)):
            weights = torch.softmax(key[:, part] @ query[part] / 3**0.5, 0)
            heads.append(weights @ value[:, part])
        torch.testing.assert_close(got, torch.cat(heads), rtol=1e-12, atol=1e-12)


def test_labels_fewer_than_two_classes_and_unknown_pooling_are_refused() -> None:
    with pytest.raises(UserError, match="which is to find them"):
        awake()(torch.randn(1, 1, 8, 8), torch.tensor([0]), torch.tensor([1]))
    with pytest.raises(UserError, match="at least 2"):
        NoiseClassifier(CONFIG, 1)
    with pytest.raises(UserError, match="choose attention or average"):
        NoiseClassifier(CONFIG, 3, "max")  # type: ignore[arg-type]


def test_the_objective_is_the_cross_entropy_and_the_brier_error_at_x_t() -> None:
    process, noise = DiffusionProcess.create("cosine", 10), torch.randn(2, 1, 2, 2, dtype=torch.float64)
    x0, t, y = torch.randn(2, 1, 2, 2, dtype=torch.float64), torch.tensor([2, 9]), torch.tensor([1, 0])

    def model(x: Tensor, times: Tensor) -> Tensor:
        assert torch.equal(times, t)
        return torch.stack([x.sum((1, 2, 3)), torch.zeros(2)], 1)

    losses = ClassificationObjective().losses(model, process, x0, t, noise, y)
    for i in range(2):
        alpha_bar = process.alphas_bar[t[i]]
        logit = (alpha_bar.sqrt() * x0[i] + (1 - alpha_bar).sqrt() * noise[i]).sum()
        first = 1 / (1 + torch.exp(-logit))
        chosen = (first, 1 - first)[int(y[i])]
        # The objective works in float32.
        torch.testing.assert_close(losses.loss[i].double(), -chosen.log(), rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(losses.mse[i].double(), 2 * (1 - chosen) ** 2, rtol=1e-5, atol=1e-6)


def test_without_labels_there_is_nothing_to_train() -> None:
    with pytest.raises(UserError, match="without labels"):
        ClassificationObjective().losses(
            awake(),
            DiffusionProcess.create("cosine", 10),
            torch.zeros(1, 1, 8, 8),
            torch.tensor([1]),
            torch.zeros(1, 1, 8, 8),
        )
