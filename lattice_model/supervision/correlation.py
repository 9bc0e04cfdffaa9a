"""Cross-domain correlation loss (paper 3.3.5; M3C 3.1.1, auxiliary loss).

Shapes: B impressions, H heads.
"""

from torch import Tensor

CONSTANT = 1e-7
"""A standard deviation below this share of the mean is rounding: float32 tells no smaller differences apart."""


def correlation_loss(logits_BH: Tensor, targets_BH: Tensor, weight_B: Tensor | None = None) -> Tensor:
    """``1 - Cov(X, Y) / (sigma_X sigma_Y)`` in a batch: X a head's labels, Y the probabilities that it predicts.

    The labels of all domains go into one correlation, so that a head pays for predictions of different scales in
    different domains even if it ranks well within each. The paper leaves open what several heads give: here the mean
    of those whose labels differ among themselves (0 if there is none), a scalar in float64. Predictions that are all
    alike have a correlation of 0 and no gradient. Targets that are NaN are left out, and ``weight_B`` counts a row as
    in ``masked_bce``.
    """
    labelled_BH = ~targets_BH.isnan()
    counted_BH = labelled_BH.double() if weight_B is None else labelled_BH * weight_B[:, None].double()
    share_BH = counted_BH / counted_BH.sum(0).clamp(min=1)
    x_BH, y_BH = targets_BH.nan_to_num(0.0).double(), logits_BH.double().sigmoid()
    mean_x_H, mean_y_H = (share_BH * x_BH).sum(0), (share_BH * y_BH).sum(0)
    x_BH, y_BH = x_BH - mean_x_H, y_BH - mean_y_H
    variance_x_H, variance_y_H = (share_BH * x_BH.square()).sum(0), (share_BH * y_BH.square()).sum(0)
    judged_H = variance_x_H > (CONSTANT * mean_x_H).square()
    varied_H = judged_H & (variance_y_H > (CONSTANT * mean_y_H).square())
    # Masked before the root and the division, whose gradients at 0 are no numbers.
    sigmas_H = (variance_x_H * variance_y_H).masked_fill(~varied_H, 1.0).sqrt()
    covariance_H = (share_BH * x_BH * y_BH).sum(0).masked_fill(~varied_H, 0.0)
    loss_H = (1 - covariance_H / sigmas_H).masked_fill(~judged_H, 0.0)
    return loss_H.sum() / judged_H.sum().clamp(min=1)
