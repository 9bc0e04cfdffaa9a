"""Masked binary cross-entropy by head (paper 3.2.1, 3.3.5).

Shapes: B impressions, O objectives, H heads.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from lattice_model.network.inputs import Head

Balance = Literal["labels", "heads"]


class HeadLosses(NamedTuple):
    """The loss of a batch and what it consists of."""

    total: Tensor
    """Scalar: what to minimise."""
    part_H: Tensor
    """What each head adds to it."""
    mean_H: Tensor
    """Mean cross-entropy of each head over its labels (nats), 0 for a head without any; detached."""
    labels_H: Tensor
    """How many labels each head had, each counted by its row's weight."""


def head_targets(labels_BO: Tensor, window_B: Tensor, heads: Sequence[Head]) -> Tensor:
    """Route each row's labels to the heads that they train: float32 (B, H), NaN where a head learns nothing.

    A label trains the head of its row's window, or the objective's only head if the objective is immediate.
    """
    objective_H = torch.tensor([head.objective_index for head in heads], device=labels_BO.device)
    window_H = torch.tensor([head.window_index for head in heads], device=labels_BO.device)
    routed_BH = (window_H == -1) | (window_B[:, None] == window_H)
    return labels_BO[:, objective_H].masked_fill(~routed_BH, float("nan"))


def count_labels(targets_BH: Tensor, weight_B: Tensor | None = None) -> Tensor:
    """How many labels each head has, (H,), each counted by its row's weight (default 1)."""
    return _counted(targets_BH, weight_B).sum(0)


def masked_bce(
    logits_BH: Tensor,
    targets_BH: Tensor,
    weights_H: Tensor | None = None,
    balance: Balance = "labels",
    weight_B: Tensor | None = None,
    whole_H: Tensor | None = None,
) -> HeadLosses:
    """Binary cross-entropy over the targets that are not NaN, each head's multiplied by its weight (default 1).

    ``weight_B`` says how many rows each one stands for (default 1): it counts that often in sums and means.

    ``balance="labels"`` divides the sum by the number of labels: the mean log-likelihood, in which dense heads
    carry more. ``balance="heads"`` averages the means of the heads that have labels in the batch: each carries the
    same, and the noise of one with few labels is amplified. A head without labels adds nothing and gets no gradient.
    Computed in float32 whatever the logits are in.

    ``whole_H`` are the label counts of a larger batch of which this is a part (default: this is all of it): sums are
    divided by them, so that the losses of the parts, and what each holds, add up to the larger batch's.
    """
    labelled_BH = ~targets_BH.isnan()
    counted_BH = _counted(targets_BH, weight_B)
    bce_BH = F.binary_cross_entropy_with_logits(
        logits_BH.float(), targets_BH.nan_to_num(0.0), reduction="none"
    ).masked_fill(~labelled_BH, 0.0)
    sum_H, labels_H = (bce_BH * counted_BH).sum(0), counted_BH.sum(0)
    whole_H = labels_H if whole_H is None else whole_H
    # A row weighs 1 or more: clamping changes only what has no label at all.
    mean_H = sum_H / whole_H.clamp(min=1)
    if weights_H is None:
        weights_H = torch.ones_like(mean_H)
    if balance == "labels":
        weighted_H, divisor = sum_H * weights_H, whole_H.sum().clamp(min=1)
    else:
        weighted_H, divisor = mean_H * weights_H, (whole_H > 0).sum().clamp(min=1)
    return HeadLosses(
        total=weighted_H.sum() / divisor, part_H=weighted_H / divisor, mean_H=mean_H.detach(), labels_H=labels_H
    )


def _counted(targets_BH: Tensor, weight_B: Tensor | None) -> Tensor:
    """How often each label counts, (B, H): 0 where there is none."""
    labelled_BH = ~targets_BH.isnan()
    return labelled_BH.float() if weight_B is None else labelled_BH * weight_B[:, None]
