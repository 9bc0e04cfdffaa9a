"""What to choose features by besides their importance: noise, further criteria, and what the user has decided.

3.2.2 names cost, storage, freshness and portfolio importance as criteria that "can be incorporated"; M3C adds coverage.
A criterion is one more axis of dominance. On its own that would put every cheap feature on the first frontier, useful
or not, so only features with an importance above its noise are compared.

Shapes: F features, N tasks, C criteria, U features with an importance above noise, T features chosen.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from pipelines.frontiers import Floats, Ints, checked_errors, checked_importance
from pipelines.pareto import ParetoSelection, check_numbers, crowded, pareto_select
from schemas.errors import LatticeError


@dataclass(frozen=True, kw_only=True, eq=False)
class Criterion:
    """A number a feature besides its importance: what it costs, how often it is there, how fresh it is."""

    name: str
    values: ArrayLike
    """(F,), without noise."""
    lower_is_better: bool


@dataclass(frozen=True, kw_only=True, eq=False)
class Budget:
    """A number a feature, of which the chosen ones together may have so much."""

    name: str
    values: ArrayLike
    """(F,), 0 or more."""
    most: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Axes:
    """What ``pareto_select`` compares; row u is feature ``useful[u]``."""

    useful: Ints
    """(U,) The features with an importance above noise on some task, ascending."""
    values: Floats
    """(U, N + C) Importances, then criteria turned so that larger is better."""
    standard_errors: Floats
    """(U, N + C) Those of the values."""


def comparison_axes(
    importance: ArrayLike,
    *,
    standard_errors: ArrayLike | None = None,
    z: float = 2.0,
    criteria: Sequence[Criterion] = (),
) -> Axes:
    """The axes on which useful features compete.

    A feature is useful if on some task its importance is more than z of its standard errors above 0 (without standard
    errors: above 0). No criterion makes up for not being. A negative importance counts as 0. One within its noise stays
    what it is, with its error: were it exactly 0, a lucky one beside it would seem clearly better.

    Args:
        importance: (F, N), larger is better, 0 is worth nothing.
        standard_errors: (F, N).
        z: how many standard errors are noise.
        criteria: further axes.

    Raises:
        LatticeError: a table is not as said.
    """
    importance_FN = checked_importance(importance)
    errors_FN = checked_errors(standard_errors, importance_FN, z)
    useful = np.flatnonzero((importance_FN > z * errors_FN).any(1))
    columns = [np.maximum(importance_FN, 0.0), *(_column(c, len(importance_FN)) for c in criteria)]
    errors = [errors_FN, np.zeros((len(importance_FN), len(criteria)))]
    return Axes(useful=useful, values=np.hstack(columns)[useful], standard_errors=np.hstack(errors)[useful])


def select(
    importance: ArrayLike,
    target: int,
    seed: int,
    *,
    standard_errors: ArrayLike | None = None,
    z: float = 2.0,
    criteria: Sequence[Criterion] = (),
    must: Sequence[int] = (),
    must_not: Sequence[int] = (),
    together: Sequence[Sequence[int]] = (),
    preference: ArrayLike | None = None,
    budgets: Sequence[Budget] = (),
) -> ParetoSelection:
    """Choose at most ``target`` features by ``pareto_select`` on the axes of ``comparison_axes``.

    - Useless features are on no frontier and are not chosen, even if the target is not reached then: a warning says so.
    - Those that must be chosen come first and count against the target. They still dominate others: what they offer
      is there.
    - Those that must not be chosen are taken out before frontiers are made, so that they push nobody back.
    - Features that come together are chosen all or none, when the first of them would be; each counts against the
      target. A group that no longer fits is passed over, and smaller ones behind it may still fit, of a later frontier
      too. A group with a feature that must (not) be chosen must (not) be chosen.
    - What a budget has no room for is passed over in the same way.

    Args:
        importance, target, seed, standard_errors, z, preference: as for ``pareto_select``.
        criteria: further axes.
        must: indices of features to choose whatever their importance.
        must_not: indices of features not to choose.
        together: groups of indices; no feature is in two.
        budgets: what the chosen ones together may cost.

    Raises:
        LatticeError: a table is not as said, an index does not exist, or the wishes contradict each other.
    """
    axes = comparison_axes(importance, standard_errors=standard_errors, z=z, criteria=criteria)
    count = len(np.asarray(importance))
    check_numbers(count, target, seed)
    group_of = _groups(together, count)
    musts, excluded = _whole(must, "must", group_of, count), _whole(must_not, "must not", group_of, count)
    if both := sorted(set(musts) & set(excluded)):
        raise LatticeError(
            "must, must not",
            f"Feature {both[0]} must be chosen and must not, by itself or by what it comes together with.",
            "Take it from one of the two lists, or split its group.",
        )
    if len(musts) > target:
        raise LatticeError(
            "must",
            f"{len(musts):,} features must be chosen, with what they come together with; the target is {target:,}.",
            "Raise the target or shorten the list.",
        )
    purse = _Purse(budgets, count)
    purse.must_pay(musts)
    free = ~np.isin(axes.useful, excluded)
    pool = axes.useful[free]
    wanted = None if preference is None else np.asarray(preference, dtype=np.float64)[pool]
    errors = axes.standard_errors[free]
    ranked = pareto_select(axes.values[free], len(pool), seed, standard_errors=errors, z=z, preference=wanted)
    chosen = list(musts)
    taken, passed_over = set(chosen), set[int]()
    for feature in pool[ranked.features].tolist():
        group = group_of.get(feature, (feature,))
        if feature in taken or len(chosen) + len(group) > target:
            continue
        if not purse.pay(group):
            passed_over |= set(group)
            continue
        chosen += group
        taken |= set(group)
    frontier_of = np.zeros(count, dtype=np.int64)
    frontier_of[pool] = ranked.frontier_of
    features = np.array(chosen, dtype=np.int64)
    found = replace(
        ranked,
        features=features,
        frontiers=frontier_of[features],
        frontier_of=frontier_of,
        passed_over=frozenset(passed_over),
    )
    return replace(found, warnings=_warnings(found, target, len(axes.useful), len(excluded), preference is None))


class _Purse:
    """What is left of each budget."""

    def __init__(self, budgets: Sequence[Budget], count: int) -> None:
        self._names = [budget.name for budget in budgets]
        costs = [_column(Criterion(name=b.name, values=b.values, lower_is_better=False), count) for b in budgets]
        self._costs_FB = np.hstack(costs) if costs else np.zeros((count, 0))
        self._left_B = np.array([budget.most for budget in budgets], dtype=np.float64)
        # Sums of what was declared with a fraction must not fail by the last bit.
        self._slack_B = 1e-9 * np.abs(self._left_B)

    def pay(self, features: Sequence[int]) -> bool:
        """Whether there is room for all of them; if so, it is taken."""
        left_B = self._left_B - self._costs_FB[list(features)].sum(0)
        if (left_B < -self._slack_B).any():
            return False
        self._left_B = left_B
        return True

    def must_pay(self, features: Sequence[int]) -> None:
        if not self.pay(features):
            needed_B = self._costs_FB[list(features)].sum(0)
            short = np.flatnonzero(needed_B > self._left_B + self._slack_B)
            raise LatticeError(
                f"limit '{self._names[short[0]]}'",
                f"What must be chosen takes {needed_B[short[0]]:g} of {self._left_B[short[0]]:g}.",
                "Raise the limit, or shorten the list of what must be chosen.",
            )


def _column(criterion: Criterion, count: int) -> Floats:
    """(F, 1) The criterion, larger being better."""
    place = f"criterion '{criterion.name}'"
    values = np.asarray(criterion.values, dtype=np.float64)
    if values.shape != (count,):
        raise LatticeError(
            place, f"It has shape {values.shape} for {count:,} features.", "Give it one number a feature."
        )
    if len(missing := np.flatnonzero(np.isnan(values))):
        raise LatticeError(
            place,
            f"Feature {missing[0]} has none ({len(missing):,} in all; features count from 0).",
            "Give every feature a value, or leave the criterion out.",
        )
    return (-values if criterion.lower_is_better else values)[:, None]


def _groups(together: Sequence[Sequence[int]], count: int) -> dict[int, tuple[int, ...]]:
    """The group of each feature that is in one."""
    group_of: dict[int, tuple[int, ...]] = {}
    for group in together:
        for feature in _known(group, "together", count):
            if feature in group_of:
                raise LatticeError("together", f"Feature {feature} is there twice.", "Join its groups into one.")
            group_of[feature] = tuple(group)
    return group_of


def _whole(features: Sequence[int], place: str, group_of: dict[int, tuple[int, ...]], count: int) -> list[int]:
    """The features and what comes together with them, each once, in the order given."""
    named = _known(features, place, count)
    return list(dict.fromkeys(other for feature in named for other in group_of.get(feature, (feature,))))


def _known(features: Iterable[int], place: str, count: int) -> list[int]:
    known = list(features)
    for feature in known:
        if not 0 <= feature < count:
            raise LatticeError(place, f"There is no feature {feature}.", f"They count from 0 to {count - 1}.")
    return known


def _warnings(found: ParetoSelection, target: int, useful: int, excluded: int, drawn: bool) -> tuple[str, ...]:
    warnings = crowded(int((found.frontier_of == 1).sum()), target, drawn)
    if (chosen := len(found.features)) < target:
        limited = f"limits had no room for {len(found.passed_over):,}, " if found.passed_over else ""
        warnings += (
            f"{chosen:,} features were chosen, the target is {target:,}: {useful:,} have an importance above noise, "
            f"{excluded:,} must not be chosen, {limited}and what comes together may not fit. Lower the target, or "
            "measure importance on more rows; a lower z lets weaker features in.",
        )
    return warnings
