"""From importances and the user's wishes to a decision about every feature, with its reason (3.2.2).

Shapes: F candidate features, N tasks, R resamples.
"""

import difflib
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pipelines.frontiers import Floats, Ints
from pipelines.importances import Importances, shares
from pipelines.pareto import ParetoSelection
from pipelines.selection import Budget, Criterion, comparison_axes, select
from schemas.errors import LatticeError
from schemas.narrowing import Candidate
from schemas.selection import Decision, Reason

COMPUTE, STORAGE, COVERAGE, FRESHNESS = "cost.compute", "cost.storage", "coverage", "freshness"
CRITERIA = (COMPUTE, STORAGE, COVERAGE, FRESHNESS)
Fill = Literal["random", "importance"]
_OF_EACH = (COVERAGE, FRESHNESS)
"""Of which a limit holds for each feature, not for the sum of the chosen ones."""


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """What the user asks of a selection."""

    target: int
    seed: int = 0
    z: float | None = 2.0
    """How many standard errors are noise; None takes importances as exact."""
    criteria: tuple[str, ...] = ()
    """Of ``CRITERIA``."""
    must: tuple[str, ...] = ()
    must_not: tuple[str, ...] = ()
    together: tuple[tuple[str, ...], ...] = ()
    """Features that are chosen all or none."""
    limits: tuple[tuple[str, float], ...] = ()
    """By criterion: the most that all chosen features together cost; the least coverage, and the longest delay
    (seconds), of each."""
    fill: Fill = "random"
    """How a part of a frontier is taken: by a draw (the paper), or the most important first."""
    weights: tuple[tuple[str, float], ...] = ()
    """By task, DOMAIN/OBJECTIVE: what its importances count where the most important come first; others count 1."""

    @property
    def described(self) -> tuple[str, ...]:
        """What is not in a column of the table of its own, as options of the command."""
        return (
            *(["--fill importance"] if self.fill == "importance" else []),
            *(f"--weight {task}={value:g}" for task, value in self.weights),
            *(f"--limit {name}={value:g}" + ("s" if name == FRESHNESS else "") for name, value in self.limits),
            *(f"--together {','.join(names)}" for names in self.together),
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Choice:
    """What ``choose`` found."""

    selection: ParetoSelection
    decisions: tuple[Decision, ...]
    """In the order of the candidates."""
    chosen: frozenset[str]


def choose(found: Importances, wishes: Wishes, coverage: Mapping[str, float], pinned: Collection[str] = ()) -> Choice:
    """Choose features by Pareto frontiers, and say of every candidate why it was chosen or not.

    Args:
        coverage: the share of rows in which a number is known, by feature; ids and sequences count as always known.
        pinned: what live models read.

    Raises:
        LatticeError: a wish names what is not there, or wishes contradict each other.
    """
    _check_names("--must", wishes.must, found.names)
    _check_names("--must-not", wishes.must_not, found.names)
    _check_groups(wishes.together, found.names)
    wishes = replace(
        wishes, must=_whole(wishes.must, wishes.together), must_not=_whole(wishes.must_not, wishes.together)
    )
    beyond = _beyond_limits(found, wishes, coverage)
    excluded = {*wishes.must_not, *(found.names[feature] for feature in beyond)}
    if both := [name for name in wishes.must if name in excluded]:
        problem = f"'{both[0]}' is in both, by itself or by what it comes together with."
        raise LatticeError("--must, --must-not", problem, "Take it from one of them, or split its group.")
    selection = _select(found.means, found, wishes, coverage)
    chosen = frozenset(found.names[feature] for feature in selection.features)
    errors_FN, z = _noise(found, wishes)
    useful = comparison_axes(found.means, standard_errors=errors_FN, z=z).useful
    reasons = _reasons(found, wishes, selection, set(useful.tolist()), beyond | selection.passed_over)
    position = {feature: place for place, feature in enumerate(selection.features.tolist(), 1)}
    decisions = tuple(
        Decision(
            feature=candidate.name,
            kind=candidate.kind,
            chosen=candidate.name in chosen,
            position=position.get(feature),
            frontier=int(selection.frontier_of[feature]),
            reason=reasons[feature],
            pinned=candidate.name in pinned and candidate.name not in chosen,
        )
        for feature, candidate in enumerate(found.candidates)
    )
    return Choice(selection=selection, decisions=decisions, chosen=chosen)


def in_order(found: Importances, wishes: Wishes, coverage: Mapping[str, float]) -> Ints:
    """What ``choose`` chooses, and then what it would go on with, one after the other, were there room for all."""
    chosen = _select(found.means, found, wishes, coverage).features
    boundless = replace(wishes, target=len(found.candidates), limits=(), together=())
    every = _select(found.means, found, boundless, coverage).features
    return np.concatenate([chosen, every[~np.isin(every, chosen)]])


def resamples_for(found: Importances) -> int:
    """As many as comparing every two features allows in about a minute on one core: 4 to 200."""
    useful = int((found.means > 0).any(1).sum())
    return min(200, max(4, 800_000_000 // max(1, useful**2)))


def chosen_share(found: Importances, wishes: Wishes, coverage: Mapping[str, float], resamples: int) -> Floats:
    """(F,) In which share of resamples each feature is chosen.

    Each draws every importance anew from a normal distribution with its mean and standard error, and chooses with the
    same wishes and seed: what changes is noise alone.
    """
    random = np.random.default_rng(wishes.seed)
    count = np.zeros(len(found.candidates))
    for _ in range(resamples):
        drawn_FN = random.normal(found.means, found.standard_errors)
        count[_select(drawn_FN, found, wishes, coverage).features] += 1
    return count / max(resamples, 1)


def _select(means_FN: Floats, found: Importances, wishes: Wishes, coverage: Mapping[str, float]) -> ParetoSelection:
    place = {name: feature for feature, name in enumerate(found.names)}
    errors_FN, z = _noise(found, wishes)
    beyond = [found.names[feature] for feature in sorted(_beyond_limits(found, wishes, coverage))]
    return select(
        means_FN,
        wishes.target,
        wishes.seed,
        standard_errors=errors_FN,
        z=z,
        criteria=[_criterion(name, found.candidates, coverage) for name in wishes.criteria],
        must=[place[name] for name in dict.fromkeys(wishes.must)],
        must_not=[place[name] for name in dict.fromkeys([*wishes.must_not, *beyond])],
        together=[[place[name] for name in names] for names in wishes.together],
        preference=_preference(means_FN, found, wishes),
        budgets=[
            Budget(name=name, values=_values(name, found.candidates, coverage, "--limit"), most=most)
            for name, most in wishes.limits
            if name not in _OF_EACH
        ],
    )


def _preference(means_FN: Floats, found: Importances, wishes: Wishes) -> Floats | None:
    """(F,) The share of each task's importance that a feature has, on the weighted mean of tasks.

    Raises:
        LatticeError: a weight is of no task, or nothing asks for weights.
    """
    tasks = ["/".join(task) for task in found.tasks]
    for name, _ in wishes.weights:
        if name not in tasks:
            raise LatticeError("--weight", f"The importances know no task '{name}'.", f"Known: {', '.join(tasks)}.")
    if wishes.fill == "random":
        if wishes.weights:
            problem = "Weights do not change what is better on every task, nor a draw."
            raise LatticeError("--weight", problem, "Add --fill importance, or leave the weights out.")
        return None
    weights_N = np.array([dict(wishes.weights).get(task, 1.0) for task in tasks])
    found_F: Floats = shares(means_FN) @ weights_N
    return found_F


def _beyond_limits(found: Importances, wishes: Wishes, coverage: Mapping[str, float]) -> frozenset[int]:
    """The features that are themselves beyond a limit, but for those that must be chosen."""
    beyond = set[int]()
    for name, limit in wishes.limits:
        if name in _OF_EACH:
            values = np.asarray(_values(name, found.candidates, coverage, "--limit"))
            beyond |= set(np.flatnonzero(values < limit if name == COVERAGE else values > limit).tolist())
    names = _whole([found.names[feature] for feature in sorted(beyond)], wishes.together)
    place, musts = {name: feature for feature, name in enumerate(found.names)}, set(wishes.must)
    return frozenset(place[name] for name in names if name not in musts)


def _noise(found: Importances, wishes: Wishes) -> tuple[Floats | None, float]:
    """The standard errors and how many of them are noise."""
    return (None, 0.0) if wishes.z is None else (found.standard_errors, wishes.z)


def _criterion(name: str, candidates: Sequence[Candidate], coverage: Mapping[str, float]) -> Criterion:
    """One axis beside the importances."""
    values = _values(name, candidates, coverage, "--criterion")
    return Criterion(name=name, values=values, lower_is_better=name != COVERAGE)


def _values(name: str, candidates: Sequence[Candidate], coverage: Mapping[str, float], option: str) -> list[float]:
    """(F,) A criterion of each candidate.

    Raises:
        LatticeError: there is none of that name, or no feature has it.
    """
    if name not in CRITERIA:
        raise LatticeError(option, f"There is no criterion '{name}'.", f"Known: {', '.join(CRITERIA)}.")
    if name == COVERAGE:
        if not coverage:
            raise LatticeError(f"{option} {name}", "No feature's coverage is known.", "Run `lattice build` first.")
        return [coverage.get(c.name, 1.0) for c in candidates]
    declared, words = {
        COMPUTE: ([c.cost.compute for c in candidates], "this cost; give some `cost: {compute: ...}`"),
        STORAGE: ([c.cost.storage for c in candidates], "this cost; give some `cost: {storage: ...}`"),
        FRESHNESS: ([c.delay.total_seconds() for c in candidates], "a delay; give some `delay: 1d`, say,"),
    }[name]
    if not any(declared):
        what, remedy = words.split("; ")
        raise LatticeError(
            f"{option} {name}", f"No feature of the space declares {what}.", f"{remedy.capitalize()} in the space file."
        )
    return declared


def _reasons(
    found: Importances, wishes: Wishes, selection: ParetoSelection, useful: set[int], beyond: frozenset[int]
) -> list[Reason]:
    chosen = set(selection.features.tolist())
    decided = {*wishes.must, *wishes.must_not}
    competing = np.array([name not in decided for name in found.names], dtype=bool)
    competing[list(beyond)] = False
    split = _partly(selection.frontier_of, competing, chosen)

    def reason(feature: int, name: str) -> Reason:
        if name in decided:
            return "must" if name in wishes.must else "must_not"
        if not found.measured[feature]:
            return "unmeasured"
        if feature not in useful:
            return "noise"
        if feature in beyond and feature not in chosen:
            return "limit"
        return "fill" if int(selection.frontier_of[feature]) in split else "frontier"

    return [reason(feature, name) for feature, name in enumerate(found.names)]


def _partly(frontier_of: Ints, competing: NDArray[np.bool_], chosen: set[int]) -> set[int]:
    """The frontiers of which a part was chosen."""
    taken = np.isin(np.arange(len(frontier_of)), list(chosen))
    inside, outside = (set(frontier_of[competing & part].tolist()) for part in (taken, ~taken))
    return (inside & outside) - {0}


def _whole(names: Iterable[str], together: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """The features and what comes together with them, each once."""
    group_of = {name: group for group in together for name in group}
    return tuple(dict.fromkeys(other for name in names for other in group_of.get(name, (name,))))


def _check_groups(together: Sequence[Sequence[str]], known: Sequence[str]) -> None:
    every = [name for names in together for name in names]
    _check_names("--together", every, known)
    if twice := [name for name, times in Counter(every).items() if times > 1]:
        raise LatticeError("--together", f"'{twice[0]}' is there twice.", "Join its groups into one.")


def _check_names(option: str, names: Iterable[str], known: Sequence[str]) -> None:
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=8, cutoff=0.4)
            raise LatticeError(
                option, f"The space has no feature '{name}'.", f"Close to it: {', '.join(near) or 'none'}."
            )
