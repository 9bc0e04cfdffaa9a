"""The features of a space as columns: what ``unified`` holds, and in which domains each of them exists."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Literal

from schemas.duration import format_duration
from schemas.privacy import feature_domains

if TYPE_CHECKING:
    from schemas.space import Categorical, Dense, History, ModelSpace


@dataclass(frozen=True, kw_only=True)
class CategoricalColumn:
    """A 64-bit hashed id (``long``); 0 is absent."""

    name: str
    id_space: str
    size: int
    domains: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class DenseColumn:
    """A number (``float``); null is unknown, 0.0 in a domain that lacks the feature."""

    name: str
    domains: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class SequenceColumns:
    """Parallel sequences, newest event first: ``<name>_<field>``, each packed in one binary.

    It has as many little-endian values as there are events: int64 ids, float32 numbers.
    """

    name: str
    length: int
    ids: dict[str, tuple[str, int]]
    """Field -> (id space, size of its embedding table)."""
    dense: tuple[str, ...]
    domains: tuple[str, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(f"{self.name}_{field}" for field in (*self.ids, *self.dense))


@dataclass(frozen=True, kw_only=True)
class HistoryMeasure:
    """A dense column of a history declaration."""

    column: str
    kind: Literal["count", "sum", "recency", "gap"]
    summed: str | None = None
    """The event column, of a sum."""
    horizon: timedelta | str | None = None
    """``all`` counts from the beginning; recency and gap have none."""


def attribute_column(path: str) -> str:
    """The column that holds the attribute ``TABLE.COLUMN`` while features are computed; other names stay."""
    return f"_{path.replace('.', '_')}" if "." in path else path


def origin_column(feature: Categorical | Dense) -> str:
    """The column that holds a declared feature's value while features are computed; empty if it has none."""
    return attribute_column(feature.column or feature.attribute or "")


def history_measures(name: str, history: History) -> tuple[HistoryMeasure, ...]:
    """The dense columns of one history declaration."""
    every = _every_measure(name, history)
    kept = history.measures
    return every if isinstance(kept, str) else tuple(m for m in every if m.column.removeprefix(f"{name}_") in kept)


def _every_measure(name: str, history: History) -> tuple[HistoryMeasure, ...]:
    """What its horizons and options span."""
    measures = []
    for horizon in history.horizons:
        label = horizon if isinstance(horizon, str) else format_duration(horizon)
        if history.count:
            measures.append(HistoryMeasure(column=f"{name}_count_{label}", kind="count", horizon=horizon))
        for column in history.sums:
            measures.append(
                HistoryMeasure(column=f"{name}_{column}_{label}", kind="sum", summed=column, horizon=horizon)
            )
    if history.recency:
        measures.append(HistoryMeasure(column=f"{name}_recency", kind="recency"))
    if history.gap:
        measures.append(HistoryMeasure(column=f"{name}_gap", kind="gap"))
    return tuple(measures)


def categorical_columns(space: ModelSpace) -> tuple[CategoricalColumn, ...]:
    """The categorical features in the order of the file."""
    return tuple(
        CategoricalColumn(
            name=name,
            id_space=feature.id_space,
            size=space.id_spaces[feature.id_space],
            domains=feature_domains(space, feature),
        )
        for name, feature in space.features.categorical.items()
    )


def dense_columns(space: ModelSpace, ratios: bool = True) -> tuple[DenseColumn, ...]:
    """The dense features: declared numbers, then histories, then ratios, each in the order of the file."""
    columns = [
        DenseColumn(name=name, domains=feature_domains(space, feature))
        for name, feature in space.features.dense.items()
    ]
    for name, history in space.features.history.items():
        domains = feature_domains(space, history)
        columns += [DenseColumn(name=measure.column, domains=domains) for measure in history_measures(name, history)]
    if ratios:
        columns += [
            DenseColumn(name=name, domains=feature_domains(space, ratio))
            for name, ratio in space.features.ratio.items()
        ]
    return tuple(columns)


def sequence_columns(space: ModelSpace) -> tuple[SequenceColumns, ...]:
    """The sequence features in the order of the file."""
    return tuple(
        SequenceColumns(
            name=name,
            length=sequence.length,
            ids={field: (part.id_space, space.id_spaces[part.id_space]) for field, part in sequence.ids.items()},
            dense=(*sequence.dense, *(("age",) if sequence.age else ())),
            domains=feature_domains(space, sequence),
        )
        for name, sequence in space.features.sequence.items()
    )
