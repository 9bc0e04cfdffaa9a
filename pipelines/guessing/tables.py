"""A table with its user, its item and its time, as far as names and values say."""

from dataclasses import dataclass
from functools import cached_property

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.guessing.columns import Column, column
from pipelines.guessing.names import ARRIVAL, IMPRESSION, ITEM, TIME, USER, is_id, says, strength
from pipelines.guessing.samples import Sample


@dataclass(frozen=True, eq=False, kw_only=True)
class Table:
    """A sample whose columns have types and, three of them, a meaning; ``unsure`` says which of these are a toss-up."""

    sample: Sample
    columns: dict[str, Column]
    user: Column | None = None
    item: Column | None = None
    time: Column | None = None
    arrival: Column | None = None
    unsure: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        return self.sample.name

    @cached_property
    def key(self) -> Column | None:
        """A column that names each row, beside those that have a meaning."""
        unique = [c for c in self.others if c.unique and (is_id(c.name) or c.type == "string")]
        return max(unique, key=lambda c: (says(c.name, IMPRESSION), is_id(c.name)), default=None)

    @property
    def others(self) -> list[Column]:
        """The columns without a meaning so far, in the order of the file."""
        taken = {c.name for c in (self.user, self.item, self.time, self.arrival) if c is not None}
        return [c for c in self.columns.values() if c.name not in taken]


@dataclass(frozen=True, eq=False, kw_only=True)
class Log(Table):
    """A table of which every row says who, what and when."""

    user: Column
    item: Column
    time: Column


def understand(samples: tuple[Sample, ...], zone: str) -> list[Table]:
    """Every table with its columns; users and items by their names or, if no table has both, by their values."""
    tables = [_by_names(sample, zone) for sample in samples]
    if not any(isinstance(table, Log) for table in tables):
        return [_by_values(table, tables) if table.time else table for table in tables]
    return tables


def _table(
    sample: Sample,
    columns: dict[str, Column],
    user: Column | None,
    item: Column | None,
    time: Column | None,
    arrival: Column | None,
    unsure: frozenset[str] = frozenset(),
) -> Table:
    if user is None or item is None or time is None:
        return Table(sample=sample, columns=columns, user=user, item=item, time=time, arrival=arrival)
    return Log(sample=sample, columns=columns, user=user, item=item, time=time, arrival=arrival, unsure=unsure)


def _by_names(sample: Sample, zone: str) -> Table:
    columns = {name: column(name, sample.rows[name], zone, sample.format == "csv") for name in sample.rows.column_names}
    ids = [c for c in columns.values() if c.can_be_id and not c.zero_one]
    user = _fitting(ids, USER)
    item = _fitting([c for c in ids if c is not user], ITEM)
    arrival, time = _times(list(columns.values()))
    return _table(sample, columns, user, item, time, arrival)


def _fitting(columns: list[Column], hints: tuple[str, ...]) -> Column | None:
    fit = max(columns, key=lambda c: strength(c.name, hints), default=None)
    return fit if fit is not None and strength(fit.name, hints) > (0, 0) else None


def _times(columns: list[Column]) -> tuple[Column | None, Column | None]:
    """When rows arrived, if a column says so, and when things happened: the fullest column named as a time."""
    times = [c for c in columns if c.type == "timestamp" and c.distinct]
    time = max(
        (c for c in times if not says(c.name, ARRIVAL)),
        key=lambda c: (c.full, says(c.name, TIME), c.distinct > 1),
        default=None,
    )
    if time is None:
        return None, times[0] if times else None
    arrivals = (c for c in times if says(c.name, ARRIVAL) and c.full)
    return next((c for c in arrivals if _follows(c, time)), None), time


def _follows(later: Column, earlier: Column) -> bool:
    return bool(pc.all(pc.greater_equal(later.values, earlier.values)).as_py())


def _by_values(table: Table, tables: list[Table]) -> Table:
    """The ids that repeat, first those that other tables have too; the one with more values is the user."""
    common = {c.name for other in tables if other is not table for c in other.columns.values()}
    free = [c for c in table.others if c.can_be_id and not c.zero_one and 1 < c.distinct < c.rows]
    free.sort(key=lambda c: (c.name in common, is_id(c.name), c.type == "string", c.distinct), reverse=True)
    user, item = table.user, table.item
    if user is None and item is None:
        pair = sorted(free[:2], key=lambda c: c.distinct, reverse=True)
        user, item = pair if len(pair) == 2 else (None, None)
    elif free:
        user, item = user or free[0], item or free[0]
    unsure = {part for part, now, was in (("user", user, table.user), ("item", item, table.item)) if now is not was}
    return _table(table.sample, table.columns, user, item, table.time, table.arrival, frozenset(unsure))


def contained(one: pa.Array, other: pa.Array) -> float:
    """The share of one array's values that are in the other."""
    return float(pc.mean(pc.is_in(one, value_set=other).cast(pa.int8())).as_py()) if len(one) and len(other) else 0.0
