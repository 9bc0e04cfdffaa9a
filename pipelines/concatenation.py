"""Concatenation: the features of all domains side by side, one row an impression (paper 3.2).

Every feature is as of strictly before the impression. A feature that the row's domain lacks is zero (0.0, id 0, empty
sequence); null means that the domain has the feature and its value is unknown.
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pipelines import event_memory, point_in_time
from pipelines.ids import hashed_id
from pipelines.privacy import with_side_ids
from pipelines.spans import Span
from schemas.features import attribute_column, categorical_columns, dense_columns, origin_column, sequence_columns
from schemas.space import Categorical, Dense, ModelSpace

_CARRIED = "_carried"
KEYS = ("impression_id", "domain", "user_id", "item_id", "impression_time")


def memory(
    events: Mapping[str, DataFrame],
    attributes: Mapping[str, DataFrame],
    space: ModelSpace,
    span: Span,
    past: DataFrame | None = None,
) -> DataFrame:
    """What happened in a span, as the features of its impressions need it (pipelines.event_memory).

    Args:
        events: by name, with ``user_id``, ``item_id``, ``event_time``, ``arrival_time`` and declared columns.
        attributes: by name, one row a key.
        past: what was ``remembered`` at the start of the span; None if that is the beginning.
    """
    logs = {name: _with_attributes(log, attributes, space, _event_paths(space, name)) for name, log in events.items()}
    return event_memory.memory(logs, space, span, past)


def unified(
    impressions: DataFrame,
    known: DataFrame,
    attributes: Mapping[str, DataFrame],
    space: ModelSpace,
    span: Span,
    side_keys: Mapping[str, bytes] = MappingProxyType({}),
) -> DataFrame:
    """The unified table: the impression's keys, then every feature column of the space (schemas.features).

    Args:
        impressions: of all domains, with every declared column (null where a domain lacks it).
        known: the memory of a span that they lie in.
        attributes: by name, one row a key.
        side_keys: of pipelines.privacy, where users must not be linked across domains.
    """
    rows = _narrow(_with_attributes(impressions, attributes, space, _impression_paths(space)), space)
    rows = with_side_ids(point_in_time.with_features(rows, known, space, span), side_keys)
    # Ratios divide other features as they are before zeroing.
    measured_rows = rows.select("*", *_ratios(space))
    return measured_rows.select(*KEYS, *_categorical(space), *_dense(space), *_sequences(space))


def as_declared(rows: DataFrame, space: ModelSpace, group: str) -> DataFrame:
    """Rows of ``unified`` or ``zipped`` that were made under earlier space files, as this one declares them.

    A feature that a row lacks is id 0, null or an empty sequence, and zero where its domain lacks it; features and
    domains that are no longer declared are left out.
    """
    present, zero, absent, empty = _Present(space), F.lit(0).cast("long"), F.lit(0.0).cast("float"), F.lit(b"")
    columns = [present(f.domains, F.coalesce(f.name, zero), zero).alias(f.name) for f in categorical_columns(space)]
    columns += [present(f.domains, F.col(f.name), absent).alias(f.name) for f in dense_columns(space)]
    columns += [
        present(f.domains, F.coalesce(name, empty), empty).alias(name)
        for f in sequence_columns(space)
        for name in f.columns
    ]
    others = [name for name in ("window", "available_time") if name in rows.columns]
    labels = [f"label_{name}" for name in space.group_objectives(group) if f"label_{name}" in rows.columns]
    members = rows.where(F.col("domain").isin(*space.group_domains(group)))
    return members.select(*KEYS, *columns, *others, *labels)


def _impression_paths(space: ModelSpace) -> set[str]:
    origins: list[Categorical | Dense] = [*space.features.categorical.values(), *space.features.dense.values()]
    paths = {feature.attribute for feature in origins if feature.attribute}
    return paths | {key for history in space.features.history.values() for key in history.keys if "." in key}


def _event_paths(space: ModelSpace, name: str) -> set[str]:
    keys = {k for history in space.features.history.values() if history.events == name for k in history.keys}
    ids = {p.column for s in space.features.sequence.values() if s.events == name for p in s.ids.values()}
    return {path for path in keys | ids if "." in path}


def _with_attributes(
    rows: DataFrame, attributes: Mapping[str, DataFrame], space: ModelSpace, paths: Iterable[str]
) -> DataFrame:
    wanted: dict[str, list[str]] = {}
    for path in sorted(paths):
        table, column = path.split(".")
        wanted.setdefault(table, []).append(column)
    for table, columns in wanted.items():
        key = space.attributes[table].key
        # One row a key (a suite holds it): the join keeps the number of rows.
        facts = attributes[table].select(
            key, *(F.col(column).alias(attribute_column(f"{table}.{column}")) for column in columns)
        )
        rows = rows.join(facts, on=key, how="left")
    return rows


def _narrow(rows: DataFrame, space: ModelSpace) -> DataFrame:
    """What features are made of: keys and ids by name, all numbers in one array, ``_CARRIED``.

    These rows are shuffled and handed to Python; an array of thousands of numbers is one column there.
    """
    features = space.features
    named = {origin_column(feature) for feature in features.categorical.values()}
    named |= {attribute_column(key) for history in features.history.values() for key in history.keys}
    numbers = F.array(*(F.col(name).cast("double") for name in _carried(space))).cast("array<double>")
    return rows.select(*KEYS, *sorted(named - {*KEYS, ""}), numbers.alias(_CARRIED))


def _carried(space: ModelSpace) -> list[str]:
    """The columns of impressions and attributes that dense features are, in the order of ``_CARRIED``."""
    dense = space.features.dense.values()
    return list(dict.fromkeys(origin_column(feature) for feature in dense))


def _numbers(space: ModelSpace, names: Iterable[str]) -> dict[str, Column]:
    """Those of the named features that are declared dense ones, as they are found in the array."""
    place, carried = {name: position for position, name in enumerate(_carried(space))}, F.col(_CARRIED)
    dense = space.features.dense
    return {name: carried[place[origin_column(dense[name])]] for name in names if name in dense}


def _ratios(space: ModelSpace) -> list[Column]:
    ratios = space.features.ratio
    numbers = _numbers(space, {part for ratio in ratios.values() for part in (ratio.numerator, ratio.denominator)})
    columns = []
    for name, ratio in ratios.items():
        top, bottom = (
            numbers[part] if part in numbers else F.col(part).cast("double")
            for part in (ratio.numerator, ratio.denominator)
        )
        columns.append(F.when(bottom != 0, top / bottom).cast("float").alias(f"_ratio_{name}"))
    return columns


class _Present:
    """Gives a value where a row's domain has the feature, another one elsewhere.

    Each condition is made once: every word of a column costs a message or three to the JVM, which thousands of columns
    feel.
    """

    def __init__(self, space: ModelSpace) -> None:
        self._every, self._has = set(space.domains), dict[tuple[str, ...], Column]()

    def __call__(self, domains: tuple[str, ...], value: Column, absent: Column) -> Column:
        if set(domains) == self._every:
            return value
        if domains not in self._has:
            self._has[domains] = F.col("domain").isin(*domains)
        return F.when(self._has[domains], value).otherwise(absent)


def _categorical(space: ModelSpace) -> list[Column]:
    columns, present, absent = [], _Present(space), F.lit(0).cast("long")
    for feature in categorical_columns(space):
        declared = space.features.categorical[feature.name]
        value = hashed_id(feature.id_space, _id_value(declared, space.time_zone))
        columns.append(present(feature.domains, value, absent).alias(feature.name))
    return columns


def _id_value(feature: Categorical, zone: str) -> Column:
    if feature.calendar is None:
        return F.col(origin_column(feature))
    local = F.from_utc_timestamp("impression_time", zone)
    part = {"hour": F.hour, "weekday": F.weekday, "day": F.dayofmonth, "week": F.weekofyear, "month": F.month}
    # The part's name keeps hour 7 apart from weekday 7 in a shared id space.
    return F.concat(F.lit(f"{feature.calendar}:"), part[feature.calendar](local).cast("string"))


def _dense(space: ModelSpace) -> list[Column]:
    columns, numbers = [], _numbers(space, space.features.dense)
    present, absent = _Present(space), F.lit(0.0).cast("float")
    for feature in dense_columns(space):
        if feature.name in space.features.ratio:
            value = F.col(f"_ratio_{feature.name}")
        elif feature.name in numbers:
            value = numbers[feature.name]
        else:
            value = F.col(feature.name)
        columns.append(present(feature.domains, value.cast("float"), absent).alias(feature.name))
    return columns


def _sequences(space: ModelSpace) -> list[Column]:
    columns, present, empty = [], _Present(space), F.lit(b"")
    for feature in sequence_columns(space):
        for name in feature.columns:
            columns.append(present(feature.domains, F.coalesce(name, empty), empty).alias(name))
    return columns
