"""Two models on the same rows, with paired intervals of their differences."""

import numpy as np

from lattice_model.evaluation.bootstrap import auc_replicates, draw, interval, normalized_entropy_replicates
from lattice_model.evaluation.evaluate import evaluate
from lattice_model.evaluation.metrics import Floats, Ints
from lattice_model.evaluation.predictions import Portfolio, Predictions
from lattice_model.evaluation.results import Comparison, Interval, PortfolioComparison, PortfolioMetrics
from schemas.errors import LatticeError
from schemas.manifest import Split

METRICS = {"auc": auc_replicates, "normalized_entropy": normalized_entropy_replicates}
"""What is compared, as ``PortfolioMetrics`` calls it, and how it is found in replicates."""


def compare(
    first: tuple[str, Predictions],
    second: tuple[str, Predictions],
    *,
    split: Split,
    replicates: int = 500,
    seed: int = 1,
) -> Comparison:
    """First minus second, per portfolio and on the mean over the portfolios with enough positives.

    Each model is a name and its predictions.

    Raises:
        LatticeError: the two do not predict the same rows with the same labels.
    """
    (first_name, ours), (second_name, theirs) = first, second
    _check_same(first_name, ours, second_name, theirs)
    users_R = ours.users()
    draws_SU = draw(int(users_R.max()) + 1, replicates, seed)
    metrics = [evaluate(model, model=name, split=split).slices[0].portfolios for name, model in (first, second)]
    our_spreads, their_spreads = (replicated(model, users_R, draws_SU) for model in (ours, theirs))
    portfolios: list[PortfolioComparison] = []
    counted: dict[str, list[tuple[float, Floats]]] = {name: [] for name in METRICS}
    for position, (our, their) in enumerate(zip(*metrics, strict=True)):
        differences = {}
        for name in METRICS:
            spread_S = our_spreads[name][position] - their_spreads[name][position]
            estimate = _difference(our, their, name)
            differences[name] = interval(estimate, spread_S)
            if our.in_mean and estimate is not None:
                counted[name].append((estimate, spread_S))
        portfolios.append(PortfolioComparison(first=our, second=their, **differences))
    return Comparison(
        first=first_name,
        second=second_name,
        replicates=replicates,
        seed=seed,
        portfolios=tuple(portfolios),
        mean_auc=_mean(counted["auc"]),
        mean_normalized_entropy=_mean(counted["normalized_entropy"]),
    )


def replicated(predictions: Predictions, users_R: Ints, draws_SU: Ints) -> dict[str, Floats]:
    """Each metric of each portfolio, in their order, in each replicate: (portfolios, S).

    ``users_R`` are the rows' users as the draws count them; models that are to be compared share the draws.
    """
    return {
        name: np.stack(
            [replicate(users_R[part.rows], *_columns(predictions, part), draws_SU) for part in predictions.portfolios()]
        )
        for name, replicate in METRICS.items()
    }


def _check_same(first_name: str, ours: Predictions, second_name: str, theirs: Predictions) -> None:
    same_rows = np.array_equal(ours.keys["impression_id"], theirs.keys["impression_id"])
    if not same_rows or not np.array_equal(ours.labels_RO, theirs.labels_RO, equal_nan=True):
        raise LatticeError(
            f"the comparison of {first_name} and {second_name}",
            "They do not predict the same rows in the same order with the same labels.",
            "Predict both from the same files of one evaluation table, without shuffling.",
        )


def _columns(model: Predictions, part: Portfolio) -> tuple[Floats, Floats]:
    return model.labels_RO[part.rows, part.objective_index], model.probabilities_RO[part.rows, part.objective_index]


def _difference(first: PortfolioMetrics, second: PortfolioMetrics, metric: str) -> float | None:
    ours, theirs = getattr(first, metric), getattr(second, metric)
    return None if ours is None or theirs is None else ours - theirs


def _mean(counted: list[tuple[float, Floats]]) -> Interval:
    if not counted:
        return Interval(estimate=None, low=None, high=None)
    estimates, spreads = zip(*counted, strict=True)
    return interval(float(np.mean(estimates)), np.mean(spreads, axis=0))
