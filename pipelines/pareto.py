"""Lattice Filter's choice (3.2.2; M3C 3.2.2 and Algorithm 1): repeated Pareto frontiers until the target is reached.

A frontier is exhausted before the next begins. Algorithm 1 as printed may take a feature as soon as the last one that
dominates it was taken, before the rest of that one's frontier.

Shapes: F features, N tasks, T features chosen.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from pipelines.frontiers import Floats, Ints, pareto_frontiers
from schemas.errors import LatticeError


@dataclass(frozen=True, kw_only=True, eq=False)
class ParetoSelection:
    """What was chosen; ``features, frontiers = selection`` unpacks the two that most callers want."""

    features: Ints
    """(T,) The chosen features' indices in order of selection: by frontier, within one in the order of the draw."""
    frontiers: Ints
    """(T,) The frontier of each: 1, 2, ..., or 0 for one that is on none and was chosen all the same."""
    frontier_of: Ints
    """(F,) The frontier of every feature, chosen or not; 0 for one that is on none."""
    warnings: tuple[str, ...] = ()
    """What to tell the user, with remedies."""
    passed_over: frozenset[int] = frozenset()
    """What would have been chosen, and a limit had no room for."""

    def __iter__(self) -> Iterator[Ints]:
        return iter((self.features, self.frontiers))

    @property
    def sizes(self) -> tuple[int, ...]:
        """How many features frontier 1, 2, ... has."""
        return tuple(np.bincount(self.frontier_of)[1:].tolist())


def pareto_select(
    importance: ArrayLike,
    target: int,
    seed: int,
    *,
    standard_errors: ArrayLike | None = None,
    z: float = 2.0,
    preference: ArrayLike | None = None,
) -> ParetoSelection:
    """Choose ``target`` features: whole frontiers while they fit, then at random from the one that does not.

    Features are ordered by frontier, and within one by a draw from ``seed``, in which each order is equally likely;
    the first ``target`` of them are chosen. So what a smaller target chooses is the beginning of what a larger one
    does.

    - Ties and duplicates: features that are equal on every task share a frontier.
    - NaN is refused: ranked last it would drop a feature that nobody measured, ranked first keep it, and neither shows.
    - Infinities are larger, or smaller, than every number and equal to themselves. Negative importances are numbers
      like others: only order within a task counts, so neither a task's unit nor its zero matters.
    - One task: a frontier is all features of one importance. No features: nothing is chosen. No tasks: refused.

    Args:
        importance: (F, N), larger is better.
        target: how many features, from 0 (none) to F (all).
        seed: of the draw; the same one chooses the same features.
        standard_errors: (F, N) of the importances; with them dominance needs more than noise, see ``pareto_frontiers``.
        z: how many standard errors of a difference are noise.
        preference: (F,) Within a frontier larger ones come first, and the draw decides among equals; None: the draw
            alone, as the paper has it.

    Raises:
        LatticeError: the target is above F or below 0, or the tables are not as said.
    """
    frontier_of = pareto_frontiers(importance, standard_errors=standard_errors, z=z)
    check_numbers(len(frontier_of), target, seed)
    preferred = _checked_preference(preference, len(frontier_of))
    draw = np.random.default_rng(seed).permutation(len(frontier_of))
    features = np.lexsort((draw, -preferred, frontier_of))[:target]
    return ParetoSelection(
        features=features,
        frontiers=frontier_of[features],
        frontier_of=frontier_of,
        warnings=crowded(int((frontier_of == 1).sum()), target, drawn=preference is None),
    )


def _checked_preference(preference: ArrayLike | None, features: int) -> Floats:
    values = np.zeros(features) if preference is None else np.asarray(preference, dtype=np.float64)
    if values.shape != (features,) or np.isnan(values).any():
        raise LatticeError(
            "preference", f"It has shape {values.shape} for {features:,} features, or is not a number for one of them.",
            "Give it one number a feature.",
        )  # fmt: skip
    return values


def check_numbers(features: int, target: int, seed: int) -> None:
    """Refuse a target that cannot be met, and a seed that numpy does not take."""
    if target > features:
        raise LatticeError(
            "target",
            f"{target:,} features are to be chosen, but only {features:,} have an importance.",
            f"Lower the target to at most {features:,}, or measure more features.",
        )
    for name, value in (("target", target), ("seed", seed)):
        if value < 0:
            raise LatticeError(name, f"{value} is below 0.", "Give 0 or more.")


def crowded(first: int, target: int, drawn: bool = True) -> tuple[str, ...]:
    """The warning that the first frontier does not fit into the target, or none; ``drawn``: a draw decided then."""
    if not 0 < target < first:
        return ()
    part = "a random part of it was chosen" if drawn else "the preferred part of it was chosen"
    remedy = ", or choose within a frontier by importance, not by a draw" if drawn else ""
    return (
        f"The first frontier has {first:,} features, the target is {target:,}: {part}. Raise the target, leave out "
        f"tasks or merge similar ones, or compare by standard errors from more rows{remedy}.",
    )
