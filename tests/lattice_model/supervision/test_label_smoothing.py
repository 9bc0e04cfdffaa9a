"""Smoothed labels, and the loss on them."""

import math

import pytest
import torch

from lattice_model.supervision.label_smoothing import smooth_labels
from lattice_model.supervision.masked_bce import masked_bce

TARGETS = torch.tensor([[1.0, float("nan")], [0.0, 1.0]])


def test_known_answers() -> None:
    torch.testing.assert_close(
        smooth_labels(TARGETS, 0.1), torch.tensor([[0.95, float("nan")], [0.05, 0.95]]), equal_nan=True
    )
    assert torch.equal(smooth_labels(TARGETS, 0.0).nan_to_num(7.0), TARGETS.nan_to_num(7.0))


def test_the_loss_is_the_mixture_of_both_labels() -> None:
    """Cross-entropy is linear in the label: 1 - share / 2 of the one's and share / 2 of the other's."""
    logits = torch.tensor([[0.3, 5.0], [-1.2, 2.0]])

    def entropy(logit: float, label: float) -> float:
        probability = 1 / (1 + math.exp(-logit))
        return -math.log(probability if label else 1 - probability)

    labelled = [(0.3, 1.0), (-1.2, 0.0), (2.0, 1.0)]
    expected = sum(0.9 * entropy(x, y) + 0.1 * entropy(x, 1 - y) for x, y in labelled) / 3
    assert masked_bce(logits, smooth_labels(TARGETS, 0.2)).total.item() == pytest.approx(expected, rel=1e-6)
