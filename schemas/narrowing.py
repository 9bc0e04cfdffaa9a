"""A space with some of its features: what a selection leaves to compute, to lay out and to train with."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal, TypeVar

from schemas.features import categorical_columns, dense_columns, history_measures, sequence_columns
from schemas.space import Categorical, Cost, Dense, History, ModelSpace, Ratio, Sequence

Kind = Literal["categorical", "dense", "sequence"]
_Declared = TypeVar("_Declared")


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A feature that may be selected, by the name that the manifest gives it; a sequence is one feature."""

    name: str
    kind: Kind
    domains: tuple[str, ...]
    cost: Cost
    """As declared; each column of a history declaration costs what the declaration says."""
    delay: timedelta = timedelta(0)
    """How old what it says is when it is served, as declared."""


def candidates(space: ModelSpace) -> tuple[Candidate, ...]:
    """Every feature of the space, in the order of the manifest: ids, numbers, sequences."""
    features, ids = space.features, space.features.categorical
    declared: dict[str, Dense | Ratio | History] = {**features.dense, **features.ratio}
    for name, history in features.history.items():
        declared |= {measure.column: history for measure in history_measures(name, history)}
    return (
        *(_candidate(c.name, "categorical", c.domains, ids[c.name]) for c in categorical_columns(space)),
        *(_candidate(c.name, "dense", c.domains, declared[c.name]) for c in dense_columns(space)),
        *(_candidate(c.name, "sequence", c.domains, features.sequence[c.name]) for c in sequence_columns(space)),
    )


def _candidate(
    name: str, kind: Kind, domains: tuple[str, ...], declared: Categorical | Dense | Ratio | History | Sequence
) -> Candidate:
    delay = declared.delay or timedelta(0)
    return Candidate(name=name, kind=kind, domains=domains, cost=declared.cost, delay=delay)


def narrowed(space: ModelSpace, names: Collection[str]) -> ModelSpace:
    """The space with these features alone, in the order of the file.

    A ratio stays without what it divides, unless that is named too (``with_parts``).
    """
    kept, features = set(names), space.features
    return space.model_copy(
        update={
            "features": features.model_copy(
                update={
                    "categorical": _kept(features.categorical, kept),
                    "dense": _kept(features.dense, kept),
                    "history": _histories(features.history, kept),
                    "ratio": _kept(features.ratio, kept),
                    "sequence": _kept(features.sequence, kept),
                }
            )
        }
    )


def with_parts(space: ModelSpace, names: Collection[str]) -> set[str]:
    """The features, and what the ratios among them divide."""
    ratios = [ratio for name, ratio in space.features.ratio.items() if name in names]
    return {*names, *(part for ratio in ratios for part in (ratio.numerator, ratio.denominator))}


def _kept(declared: dict[str, _Declared], names: set[str]) -> dict[str, _Declared]:
    return {name: feature for name, feature in declared.items() if name in names}


def _histories(declared: dict[str, History], names: set[str]) -> dict[str, History]:
    found = {}
    for name, history in declared.items():
        columns = [measure.column for measure in history_measures(name, history)]
        if kept := tuple(column.removeprefix(f"{name}_") for column in columns if column in names):
            found[name] = history.model_copy(update={"measures": kept})
    return found
