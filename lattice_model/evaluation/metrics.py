"""Metrics of one portfolio: how well predictions rank, fit and are calibrated (paper 4.1).

Shapes: R rows. Labels are 0 or 1; predictions are probabilities. A metric that does not exist is None.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from lattice_model.evaluation.results import (
    MINIMUM_POSITIVES,
    MINIMUM_USERS,
    CalibrationPoint,
    Means,
    PortfolioMetrics,
)

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

BINS = 20
SMALLEST = 1e-7
"""Predictions are held this far off 0 and 1, where the cross entropy would be infinite."""


def cross_entropies(labels_R: Floats, predictions_R: Floats) -> Floats:
    """Binary cross entropy of each row, in nats."""
    clipped = np.clip(predictions_R, SMALLEST, 1 - SMALLEST)
    entropies: Floats = -np.where(labels_R == 1, np.log(clipped), np.log1p(-clipped))
    return entropies


def entropy(rate: float) -> float:
    """Entropy of a positive rate, in nats: the cross entropy of always predicting it; 0 at 0 and 1."""
    return -sum(share * math.log(share) for share in (rate, 1 - rate) if share > 0)


def auc(labels_R: Floats, predictions_R: Floats) -> float | None:
    """Share of the pairs of a positive and a negative that are ranked right, ties counted half; over all rows."""
    if labels_R.min(initial=1) == labels_R.max(initial=0):
        return None
    return float(roc_auc_score(labels_R, predictions_R)) if len(labels_R) else None


def grouped_auc(labels_R: Floats, predictions_R: Floats, users_R: Ints) -> float | None:
    """GAUC: the AUC of each user's own rows, weighted by their number; users with labels of one kind have none.

    As Zhou et al. 2018 ("Deep Interest Network for Click-Through Rate Prediction") have it. Ties count half, where
    TorchRec's GAUC, a plain mean over users, takes them in the order of the rows.
    """
    order = np.lexsort((predictions_R, users_R))
    labels, predictions, users = labels_R[order], predictions_R[order], users_R[order]
    new_user = np.diff(users, prepend=-1) != 0
    first = np.maximum.accumulate(np.where(new_user, np.arange(len(users)), 0))
    tie = np.cumsum(new_user | (np.diff(predictions, prepend=-1) != 0)) - 1
    rank = (np.bincount(tie, np.arange(len(users)) - first + 1) / np.maximum(np.bincount(tie), 1))[tie]
    user = np.cumsum(new_user) - 1
    rows, positives = np.bincount(user), np.bincount(user, labels)
    pairs = positives * (rows - positives)
    right = np.bincount(user, rank * labels) - positives * (positives + 1) / 2
    mixed = pairs > 0
    return float(np.average(right[mixed] / pairs[mixed], weights=rows[mixed])) if mixed.any() else None


def calibration_points(labels_R: Floats, predictions_R: Floats, bins: int = BINS) -> tuple[CalibrationPoint, ...]:
    """Mean prediction and share of positives in bins of equally many rows; equal predictions share a bin."""
    if not len(labels_R):
        return ()
    edges = np.unique(np.quantile(predictions_R, np.linspace(0, 1, bins + 1)[1:-1]))
    bin_R = np.searchsorted(edges, predictions_R, side="left")
    rows = np.bincount(bin_R)
    predicted, observed = (np.bincount(bin_R, weights) for weights in (predictions_R, labels_R))
    return tuple(
        CalibrationPoint(predicted=float(p / n), observed=float(o / n), rows=int(n))
        for p, o, n in zip(predicted, observed, rows, strict=True)
        if n
    )


def expected_calibration_error(points: Sequence[CalibrationPoint]) -> float | None:
    """Mean over the bins of |predicted - observed|, weighted by their rows."""
    rows = sum(point.rows for point in points)
    return sum(point.rows * abs(point.predicted - point.observed) for point in points) / rows if rows else None


def portfolio_metrics(
    labels_R: Floats, predictions_R: Floats, users_R: Ints, *, domain: str, objective: str, window: str | None
) -> PortfolioMetrics:
    """All metrics of one portfolio; ``users_R`` are any codes that tell users apart."""
    rows, positives = len(labels_R), int(labels_R.sum())
    users = len(np.unique(users_R[labels_R == 1]))
    rate = positives / rows if rows else None
    bce = float(cross_entropies(labels_R, predictions_R).mean()) if rows else None
    base = entropy(rate) if rate is not None else 0.0
    return PortfolioMetrics(
        domain=domain,
        objective=objective,
        window=window,
        rows=rows,
        positives=positives,
        negatives=rows - positives,
        users_with_positive=users,
        base_rate=rate,
        auc=auc(labels_R, predictions_R),
        gauc=grouped_auc(labels_R, predictions_R, users_R),
        bce=bce,
        normalized_entropy=bce / base if bce is not None and base else None,
        calibration=float(predictions_R.sum()) / positives if positives else None,
        expected_calibration_error=expected_calibration_error(calibration_points(labels_R, predictions_R)),
        in_mean=positives >= MINIMUM_POSITIVES and users >= MINIMUM_USERS and positives < rows,
    )


def means(portfolios: Sequence[PortfolioMetrics]) -> Means:
    """Unweighted means over the portfolios with enough positives."""
    counted = [portfolio for portfolio in portfolios if portfolio.in_mean]
    return Means(
        portfolios=len(counted),
        auc=_mean([portfolio.auc for portfolio in counted]),
        normalized_entropy=_mean([portfolio.normalized_entropy for portfolio in counted]),
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
