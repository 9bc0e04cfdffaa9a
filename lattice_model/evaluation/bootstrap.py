"""Bootstrap over users: whole users are drawn with replacement, since the rows of one user depend on each other.

A replicate is a number of times that each user was drawn, which weighs that user's rows; the same replicates serve
every portfolio and model, so that differences and means between them are paired.

Shapes: R rows, U users, S replicates.
"""

import numpy as np
from numpy.typing import NDArray

from lattice_model.evaluation.metrics import Floats, Ints, cross_entropies
from lattice_model.evaluation.results import Interval


def draw(users: int, replicates: int, seed: int) -> Ints:
    """How often each user is drawn in each replicate, (S, U); each row sums to the number of users."""
    return np.random.default_rng(seed).multinomial(users, np.full(users, 1 / users), size=replicates)


def auc_replicates(users_R: Ints, labels_R: Floats, predictions_R: Floats, draws_SU: Ints) -> Floats:
    """AUC in each replicate, (S,); NaN in one without positives or without negatives.

    Rows are sorted once. A replicate then counts, for each distinct prediction, its positives and the negatives
    below it, and half of the negatives that tie with it.
    """
    replicates = np.full(len(draws_SU), np.nan)
    if not len(labels_R):
        return replicates
    order = np.argsort(predictions_R, kind="stable")
    users, positive, ranked = users_R[order], labels_R[order] == 1, predictions_R[order]
    starts = np.flatnonzero(np.diff(ranked, prepend=-np.inf))
    for replicate, draws_U in enumerate(draws_SU):
        weights = draws_U[users]
        positives = np.add.reduceat(np.where(positive, weights, 0), starts)
        negatives = np.add.reduceat(np.where(positive, 0, weights), starts)
        pairs = positives.sum() * negatives.sum()
        if pairs:
            below = np.cumsum(negatives) - negatives
            replicates[replicate] = (positives * (below + 0.5 * negatives)).sum() / pairs
    return replicates


def normalized_entropy_replicates(users_R: Ints, labels_R: Floats, predictions_R: Floats, draws_SU: Ints) -> Floats:
    """Normalized entropy in each replicate, (S,); NaN in one without positives or without negatives."""
    users = draws_SU.shape[1]
    sums_3U = [
        np.bincount(users_R, values, minlength=users)
        for values in (cross_entropies(labels_R, predictions_R), labels_R, np.ones(len(labels_R)))
    ]
    losses, positives, rows = (draws_SU @ sums_U for sums_U in sums_3U)
    with np.errstate(divide="ignore", invalid="ignore"):
        rate = positives / rows
        base = -(rate * np.log(rate) + (1 - rate) * np.log1p(-rate))
        ratios: Floats = losses / rows / base
    return ratios


def interval(estimate: float | None, replicates: NDArray[np.float64], level: float = 0.95) -> Interval:
    """The percentile interval of the replicates in which the metric exists."""
    known = replicates[np.isfinite(replicates)]
    if estimate is None or not len(known):
        return Interval(estimate=estimate, low=None, high=None)
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return Interval(estimate=estimate, low=float(low), high=float(high))
