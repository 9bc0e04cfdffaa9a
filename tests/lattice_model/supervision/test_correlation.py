"""The correlation loss against numpy, by hand, and where there is nothing to correlate."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from lattice_model.supervision.correlation import correlation_loss

NAN = float("nan")


def made_up(rows: int, heads: int, seed: int) -> tuple[Tensor, Tensor]:
    """Logits, and targets of which a third are missing."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(rows, heads, generator=generator, dtype=torch.float64)
    targets = (torch.rand(rows, heads, generator=generator) < 0.4).float()
    return logits, targets.masked_fill(torch.rand(rows, heads, generator=generator) < 0.3, NAN)


def test_known_answers() -> None:
    """Labels 1, 0, 0, 0 and predictions 0.8, 0.4, 0.4, 0.4 have a correlation of 1, the reverse one of -1."""
    targets = torch.tensor([[1.0], [0.0], [0.0], [0.0]])
    logits = torch.logit(torch.tensor([[0.8], [0.4], [0.4], [0.4]]))
    assert correlation_loss(logits, targets).item() == pytest.approx(0, abs=1e-6)
    assert correlation_loss(-logits, targets).item() == pytest.approx(2, abs=1e-6)
    # Predictions 0.6, 0.2, 0.6, 0.2: covariance 0.05, standard deviations sqrt(3)/4 and 0.2.
    logits = torch.logit(torch.tensor([[0.6], [0.2], [0.6], [0.2]]))
    assert correlation_loss(logits, targets).item() == pytest.approx(1 - 0.05 / (math.sqrt(3) / 4 * 0.2), rel=1e-6)


def test_it_is_the_mean_over_heads_of_numpy_s_correlation() -> None:
    logits, targets = made_up(40, 3, seed=0)
    expected = []
    for head in range(3):
        known = ~targets[:, head].isnan()
        x, y = targets[known, head].numpy(), logits[known, head].sigmoid().numpy()
        expected.append(1 - np.corrcoef(x, y)[0, 1])
    assert correlation_loss(logits, targets).item() == pytest.approx(np.mean(expected), rel=1e-6)


def test_a_row_of_weight_3_counts_as_three_rows() -> None:
    logits, targets = made_up(12, 2, seed=1)
    weights = torch.tensor([1.0, 3.0, 2.0] * 4)
    times = weights.long()
    repeated = correlation_loss(logits.repeat_interleave(times, 0), targets.repeat_interleave(times, 0))
    torch.testing.assert_close(correlation_loss(logits, targets, weights), repeated)


def test_domains_on_different_scales_cost_though_each_is_ranked_perfectly() -> None:
    """Two domains of two rows with labels 1, 0: predictions of one scale have a correlation of 1."""
    targets = torch.tensor([[1.0], [0.0], [1.0], [0.0]])
    alike = torch.logit(torch.tensor([[0.7], [0.3], [0.7], [0.3]]))
    apart = torch.logit(torch.tensor([[0.9], [0.5], [0.5], [0.1]]))
    assert correlation_loss(alike, targets).item() == pytest.approx(0, abs=1e-6)
    assert correlation_loss(apart, targets).item() == pytest.approx(1 - 0.1 / (0.5 * math.sqrt(0.08)), rel=1e-5)


def test_its_gradient_is_that_of_finite_differences() -> None:
    logits, targets = made_up(9, 2, seed=2)
    logits.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: correlation_loss(x, targets), logits)
    assert torch.autograd.gradcheck(lambda x: correlation_loss(x, targets, torch.arange(1.0, 10.0)), logits)


@pytest.mark.parametrize(
    ("logits", "targets", "expected"),
    [
        ([[1.0], [2.0]], [[1.0], [1.0]], 0.0),
        ([[1.0], [2.0]], [[NAN], [NAN]], 0.0),
        ([[1.0], [2.0]], [[NAN], [0.0]], 0.0),
        ([[-6.9], [-6.9], [-6.9]], [[1.0], [0.0], [0.0]], 1.0),
        ([[-300.0], [-300.0]], [[1.0], [0.0]], 1.0),
        ([[1.0, 0.5], [2.0, 0.5], [3.0, 0.5]], [[1.0, 1.0], [1.0, 0.0], [NAN, 1.0]], 1.0),
    ],
    ids=["one label", "no label", "one row", "one prediction", "saturated", "one head of each"],
)
def test_what_is_constant_has_no_gradient(
    logits: list[list[float]], targets: list[list[float]], expected: float
) -> None:
    predicted = torch.tensor(logits, requires_grad=True)
    loss = correlation_loss(predicted, torch.tensor(targets))
    loss.backward()
    assert loss.item() == expected
    assert predicted.grad is not None and not predicted.grad.any()
