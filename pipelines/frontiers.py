"""Pareto frontiers of features by their importance to several tasks (3.2.2), with or without noise.

Feature a dominates feature b if it is worse on no task and better on at least one. The paper's relation is ``<=`` on
every task, by which two equal features remove each other; here equals share a frontier. Frontier 1 holds what nothing
dominates, frontier k + 1 what nothing dominates once the frontiers up to k are gone.

Shapes: F features, N tasks.
"""

import moocore
import numpy as np
from numpy.typing import ArrayLike, NDArray

from schemas.errors import LatticeError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_MOOCORE_TASKS = 255
"""moocore takes no more columns."""


def pareto_frontiers(importance: ArrayLike, *, standard_errors: ArrayLike | None = None, z: float = 2.0) -> Ints:
    """(F,) The frontier of each feature: 1, 2, ...

    With standard errors, noise is z times the standard error of a difference, ``z * sqrt(e_a**2 + e_b**2)`` for
    independent errors, and feature a dominates feature b if

    1. a is better than b by more than noise on some task,
    2. a is worse than b by more than noise on no task, and
    3. a is better on the whole: its sum of ``importance / scale`` over the tasks with errors is larger; or equal, and
       (1) holds on a task without. A task's scale is the mean of its standard errors above 0.

    Without (3) three features may dominate each other in a circle, each winning clearly on one task and losing a
    little on another. With it there are no circles and frontiers are what they are without noise: each feature of
    frontier k + 1 is dominated by one of frontier k, and by none of its own or a later one. The relation is not
    transitive, since small losses add up: a may dominate b and b dominate c, while a is clearly worse than c
    somewhere; c stands behind both all the same. Where all errors are 0, it is dominance as above.

    Raises:
        LatticeError: a table has another shape, no task, NaN, or (with errors) infinities; an error or z is below 0.
    """
    importance_FN = checked_importance(importance)
    noise_FN = z * checked_errors(standard_errors, importance_FN, z)
    if noise_FN.any() or importance_FN.shape[1] > _MOOCORE_TASKS:
        return frontiers_by_pairs(importance_FN, noise_FN)
    # moocore 0.3.2 crashes on some infinities in three columns; places keep the order and have none.
    ranks_F = moocore.pareto_rank(_places(importance_FN).astype(np.float64), maximise=True)
    return np.asarray(ranks_F, dtype=np.int64) + 1


def frontiers_by_pairs(importance_FN: Floats, noise_FN: Floats) -> Ints:
    """What ``pareto_frontiers`` gives, by comparing every two features; ``noise_FN`` is z times the standard errors.

    A feature's frontier is the one behind the last of those that dominate it; in the order of (3) those come first.
    """
    noisy_N = noise_FN.any(0)
    scale_N = noise_FN[:, noisy_N].sum(0) / (noise_FN[:, noisy_N] > 0).sum(0)
    noisy_F = (importance_FN[:, noisy_N] / scale_N).sum(1)
    places_FN = _places(importance_FN[:, ~noisy_N])
    exact_F = places_FN.sum(1)
    order = np.lexsort((-exact_F, -noisy_F))
    values_NF = np.hstack([importance_FN[:, noisy_N], places_FN])[order].T.copy()
    noise_NF = np.hstack([noise_FN[:, noisy_N], np.zeros(places_FN.shape)])[order].T.copy()
    # How many features are better on the whole than the one at each position; only they may dominate it.
    starts = np.flatnonzero((np.diff(noisy_F[order]) != 0) | (np.diff(exact_F[order]) != 0)) + 1
    better_F = np.repeat([0, *starts], np.diff([0, *starts, len(order)]))
    frontiers = np.ones(len(order), dtype=np.int64)
    for position, better in enumerate(better_F):
        left, wins = np.arange(better), np.zeros(better, dtype=bool)
        for values_F, noise_F in zip(values_NF, noise_NF, strict=True):  # each task leaves fewer to compare on the next
            difference = values_F[left] - values_F[position]
            noise = np.hypot(noise_F[left], noise_F[position])
            kept = difference >= -noise
            left, wins = left[kept], (wins | (difference > noise))[kept]
        frontiers[position] = 1 + frontiers[left].max(initial=0, where=wins)
    found = np.empty_like(frontiers)
    found[order] = frontiers
    return found


def _places(values_FN: Floats) -> Ints:
    """Each value's place among the distinct ones of its column, from 0 for the smallest."""
    places = np.empty(values_FN.shape, dtype=np.int64)
    for column, values_F in enumerate(values_FN.T):
        places[:, column] = np.unique(values_F, return_inverse=True)[1]
    return places


def checked_importance(importance: ArrayLike) -> Floats:
    """The importances as an (F, N) table.

    Raises:
        LatticeError: they are none, have no task, or hold NaN.
    """
    table = _table(importance, "importance")
    _refuse(
        np.isnan(table), table, "importance",
        "It was not measured. Measure it, give 0 where the task's domain lacks the feature, or leave the feature out.",
    )  # fmt: skip
    return table


def checked_errors(standard_errors: ArrayLike | None, importance_FN: Floats, z: float) -> Floats:
    """The standard errors as an (F, N) table; 0 where none are given.

    Raises:
        LatticeError: they have another shape, or are not finite and at least 0; z is not; or an importance is
            infinite on a task with errors.
    """
    if not 0 <= z < np.inf:
        raise LatticeError("z", f"{z} is no multiple of a standard error.", "Give a number from 0; 2 to 3 are usual.")
    if standard_errors is None:
        return np.zeros_like(importance_FN)
    errors_FN = _table(standard_errors, "standard errors")
    if errors_FN.shape != importance_FN.shape:
        raise LatticeError(
            "standard errors",
            f"Their table is {errors_FN.shape}, that of the importances {importance_FN.shape}.",
            "Give one standard error for each importance.",
        )
    wrong_FN = ~((errors_FN >= 0) & (errors_FN < np.inf))
    _refuse(wrong_FN, errors_FN, "standard errors", "Give a finite number from 0; 0 says that there is no noise.")
    infinite_FN = np.isinf(importance_FN) & errors_FN.any(0)
    _refuse(infinite_FN, importance_FN, "importance", "Give finite importances for a task that has standard errors.")
    return errors_FN


def _table(values: ArrayLike, name: str) -> Floats:
    remedy = "Give one row a feature and one number a task."
    try:
        table = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise LatticeError(name, "This is no table of numbers.", remedy) from None
    if table.ndim != 2 or table.shape[1] == 0:
        problem = f"Its shape is {table.shape}; it must be (features, tasks) with at least one task."
        raise LatticeError(name, problem, remedy)
    return table


def _refuse(wrong_FN: NDArray[np.bool_], table_FN: Floats, name: str, remedy: str) -> None:
    if len(where := np.argwhere(wrong_FN)):
        feature, task = where[0]
        problem = f"Feature {feature} has {table_FN[feature, task]} at task {task}, counted from 0"
        raise LatticeError(name, f"{problem}; {len(where):,} such values in all.", remedy)
