"""Ways to choose features, each an order of all candidates whose beginning is chosen.

Shapes: F features, N tasks.
"""

from collections.abc import Callable

import numpy as np

from benchmarks.filter.measured import Measured
from pipelines.frontiers import Floats, Ints
from pipelines.importances import shares
from pipelines.pareto import pareto_select
from pipelines.selection import select

PARETO, BASELINE = "Pareto", "weighted loss"
RANDOM = "random"
Way = Callable[[Measured, int, int], Ints]
"""(what is known, target, seed) -> the chosen features."""


def _pareto(known: Measured, target: int, seed: int) -> Ints:
    """As in the paper: whole frontiers, the last one by a draw."""
    return pareto_select(known.importance_FN, target, seed).features


def _pareto_filled(known: Measured, target: int, seed: int) -> Ints:
    """The last frontier by importance."""
    return pareto_select(known.importance_FN, target, seed, preference=_share(known)).features


def _useful(known: Measured, target: int, seed: int) -> Ints:
    """As ``lattice select --fill importance``: by standard errors, and only what is above its noise."""
    errors_FN, preference = known.standard_errors_FN, _share(known)
    return select(known.importance_FN, target, seed, standard_errors=errors_FN, preference=preference).features


def _by_loss(known: Measured, target: int, seed: int) -> Ints:
    """Those that the loss of all tasks, weighted as in training, needs most: the paper's baseline."""
    return _top(known.importance_FN @ known.loss_N, target)


def _by_mean(known: Measured, target: int, seed: int) -> Ints:
    """Every task counts the same."""
    return _top(known.importance_FN.mean(1), target)


def _by_one_task(known: Measured, target: int, seed: int) -> Ints:
    """By the task with most positives."""
    return _top(known.importance_FN[:, known.positives_N.argmax()], target)


def _by_gain(known: Measured, target: int, seed: int) -> Ints:
    return _top(known.gain_F, target)


def _by_taylor(known: Measured, target: int, seed: int) -> Ints:
    return _top(known.taylor_F, target)


def _drawn(known: Measured, target: int, seed: int) -> Ints:
    return np.random.default_rng(seed).permutation(len(known.features))[:target]


WAYS: dict[str, Way] = {
    PARETO: _pareto,
    "Pareto, filled by importance": _pareto_filled,
    "Pareto of what is above noise": _useful,
    BASELINE: _by_loss,
    "mean of tasks": _by_mean,
    "one task": _by_one_task,
    "LightGBM's gain": _by_gain,
    "SHARK": _by_taylor,
    RANDOM: _drawn,
}


def _share(known: Measured) -> Floats:
    """Of the tasks' importance, each task counting 1."""
    found_F: Floats = shares(known.importance_FN).sum(1)
    return found_F


def _top(worth_F: Floats, target: int) -> Ints:
    return np.argsort(-worth_F, kind="stable")[:target]
