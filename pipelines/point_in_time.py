"""Features as of each impression: history and sequence features, computed where a user's or an item's rows meet.

What happened, in a span and before it, travels in one narrow frame, the memory:

- ``_owner`` (long): what the rows are gathered by: the user, or the ledger's own key;
- ``_part`` (int): which ledger, or (after them) which sequence; ``_stream`` (int): which of its logs, -1 a balance;
- ``_key`` (long): the ledger's key, or the sequence's user; ``_at``, ``_time`` (long): arrival and time, microseconds;
- ``_values`` (array of long): the summed columns of an event, the totals of a balance, or the ids of a sequence;
- ``_floats`` (array of float): the numbers of a sequence.

Impressions and memory of the same owners are handed to a worker together, as Arrow tables. Who shares a worker changes
nothing.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import reduce
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from pipelines.history import SCALE, Books, Ledger, Moves, measured
from pipelines.ids import hashed_id, joint_key
from pipelines.sequences import Happened, Shape, latest, sequences
from pipelines.spans import Span, any_holds
from pipelines.timelines import Longs
from schemas.duration import microseconds
from schemas.features import attribute_column
from schemas.space import History, ModelSpace

MEMORY = (
    "_owner long, _part int, _stream int, _key long, _at long, _time long, _values array<long>, _floats array<float>"
)
# Into how many groups owners are hashed: a worker holds one at a time. Results do not depend on it.
_GROUPS = 64
_BALANCE = -1
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_USER, _GROUP, _AT = "_user", "_group", "_at"


@dataclass(frozen=True)
class Plan:
    """The ledgers and sequences of a space, by position: what a worker needs to know of it."""

    ledgers: tuple[Ledger, ...]
    shapes: tuple[Shape, ...]

    @classmethod
    def of(cls, space: ModelSpace) -> "Plan":
        grouped: dict[tuple[str, ...], dict[str, History]] = {}
        for name, history in space.features.history.items():
            grouped.setdefault(tuple(attribute_column(key) for key in history.keys), {})[name] = history
        return cls(
            tuple(Ledger.of(keys, histories) for keys, histories in grouped.items()),
            tuple(Shape.of(name, sequence) for name, sequence in space.features.sequence.items()),
        )

    def gatherings(self) -> list[tuple[str, list[int]]]:
        """Which parts are computed together: (the column that rows are gathered by, the parts)."""
        every = list(enumerate(self.ledgers))
        alone = [(_key_column(part), [part]) for part, ledger in every if "user_id" not in ledger.keys]
        of_users = [part for part, ledger in every if "user_id" in ledger.keys]
        of_users += [len(self.ledgers) + position for position in range(len(self.shapes))]
        return [*alone, *([(_USER, of_users)] if of_users else [])]


def memory(
    events: Mapping[str, DataFrame], space: ModelSpace, span: Span, past: DataFrame | None = None
) -> DataFrame:  # fmt: skip
    """What happened in a span, as the features of its impressions need it.

    Args:
        events: by name, with ``user_id``, ``item_id``, ``event_time``, ``arrival_time``, the declared columns, and
            attributes ``a.b`` as ``_a_b``.
        past: what was ``remembered`` at the start of the span; None if that is the beginning.
    """
    plan = Plan.of(space)
    frames = [
        _moves(events[name], part, stream, ledger, span)
        for part, ledger in enumerate(plan.ledgers)
        for stream, name in enumerate(ledger.streams)
    ]
    for position, sequence in enumerate(space.features.sequence.values()):
        ids = [
            hashed_id(declared.id_space, F.col(attribute_column(declared.column))) for declared in sequence.ids.values()
        ]
        numbers = [F.coalesce(F.col(column).cast("float"), F.lit(0.0).cast("float")) for column in sequence.dense]
        arrived = events[sequence.events].where(span.holds("arrival_time"))
        user = joint_key("user_id")
        frames.append(_remember(arrived, len(plan.ledgers) + position, 0, user, user, ids, numbers))
    found = [frame.where(F.col("_key").isNotNull()) for frame in frames]
    if past is not None:
        found.append(past)
    # A space may have no feature that remembers anything.
    return reduce(DataFrame.unionByName, found) if found else SparkSession.active().createDataFrame([], MEMORY)


def touched(space: ModelSpace, name: str, span: Span) -> list[Span]:
    """When the events of a table arrived that the memory of a span needs: in it, or a horizon earlier."""
    lags = {lag for ledger in Plan.of(space).ledgers for n, found in enumerate(ledger.streams) if found == name
            for lag in ledger.lags(n)}  # fmt: skip
    return [span, *(span.back(lag) for lag in sorted(lags))]


def _moves(events: DataFrame, part: int, stream: int, ledger: Ledger, span: Span) -> DataFrame:
    touched = [span, *(span.back(lag) for lag in ledger.lags(stream))]
    key = joint_key(*ledger.keys)
    owner = joint_key("user_id") if "user_id" in ledger.keys else key
    values = [
        F.coalesce(F.round(F.col(column).cast("double") * SCALE).cast("long"), F.lit(0))
        for column in ledger.summed[stream]
    ]
    return _remember(events.where(any_holds(touched, "arrival_time")), part, stream, owner, key, values, [])


def _remember(
    events: DataFrame, part: int, stream: int, owner: Column, key: Column, values: list[Column], floats: list[Column]
) -> DataFrame:
    return events.select(
        owner.alias("_owner"),
        F.lit(part).alias("_part"),
        F.lit(stream).alias("_stream"),
        key.alias("_key"),
        F.unix_micros("arrival_time").alias("_at"),
        F.unix_micros("event_time").alias("_time"),
        F.array(*values).cast("array<long>").alias("_values"),
        F.array(*floats).cast("array<float>").alias("_floats"),
    )


def remembered(known: DataFrame, space: ModelSpace, span: Span) -> DataFrame:
    """What the features remember at the end of a span, from its memory: the ``past`` of the next one."""
    assert span.end is not None, "a span without end has nothing after it"
    plan, start, end = Plan.of(space), _micros(span.start), microseconds(span.end - _EPOCH)

    def remember(table: pa.Table) -> pa.Table:
        return pa.concat_tables(
            [
                *(_balances(ledger, table, part, start, end) for part, ledger in enumerate(plan.ledgers)),
                *(_latest(shape, table, len(plan.ledgers) + n) for n, shape in enumerate(plan.shapes)),
            ]
        )

    return _gathered(known, "_owner").groupBy(_GROUP).applyInArrow(remember, MEMORY)


def with_features(rows: DataFrame, known: DataFrame, space: ModelSpace, span: Span) -> DataFrame:
    """``rows`` with every history measure (float) and packed sequence (``<name>_<field>``) of the space.

    Args:
        rows: have ``user_id``, ``item_id``, ``impression_time`` and attributes ``a.b`` as ``_a_b``.
        known: the memory of a span that they lie in.
    """
    plan, start = Plan.of(space), _micros(span.start)
    keys = {_key_column(part): joint_key(*ledger.keys) for part, ledger in enumerate(plan.ledgers)}
    found = rows.withColumns({**keys, _USER: joint_key("user_id"), _AT: F.unix_micros("impression_time")})
    if not (gatherings := plan.gatherings()):
        return found.drop(*keys, _USER, _AT)
    *before, (owner, parts) = gatherings
    # On their way through the gatherings a ledger's numbers are one column: hundreds would cost more than they say.
    waiting: list[int] = []
    for earlier, alone in before:
        blocks = [T.StructField(_block_column(part), T.BinaryType()) for part in alone]
        found = _met(found, known, earlier, alone, blocks, [], _packing(plan, alone, start))
        waiting += alone
    blocks_before = [_block_column(part) for part in waiting]
    fields = _added(plan, [*waiting, *parts])
    found = _met(found, known, owner, parts, fields, blocks_before, _worker(plan, parts, start, waiting))
    return found.drop(*keys, _USER, _AT)


def _met(
    rows: DataFrame,
    known: DataFrame,
    owner: str,
    parts: list[int],
    added: list[T.StructField],
    dropped: list[str],
    work: Callable[[pa.Table, pa.Table], pa.Table],
) -> DataFrame:
    """Rows, and what is known of some parts, handed to ``work`` where they have the same owners."""
    shown = _gathered(rows, owner)
    happened = _gathered(known.where(F.col("_part").isin(parts)), "_owner")
    schema = T.StructType([*shown.drop(*dropped).schema.fields, *added])
    return shown.groupBy(_GROUP).cogroup(happened.groupBy(_GROUP)).applyInArrow(work, schema).drop(_GROUP)


def _gathered(frame: DataFrame, owner: str) -> DataFrame:
    # A row without an owner has no history; its place is as good as any.
    return frame.withColumn(_GROUP, F.pmod(F.xxhash64(owner), F.lit(_GROUPS)).cast("int"))


def _added(plan: Plan, parts: list[int]) -> list[T.StructField]:
    fields = []
    for part in parts:
        if part < len(plan.ledgers):
            fields += [T.StructField(measure.name, T.FloatType()) for measure in plan.ledgers[part].measures]
            continue
        shape = plan.shapes[part - len(plan.ledgers)]
        packed = (*shape.ids, *shape.dense, *(["age"] if shape.age else []))
        fields += [T.StructField(f"{shape.name}_{field}", T.BinaryType()) for field in packed]
    return fields


def _worker(
    plan: Plan, parts: list[int], start: int | None, waiting: list[int]
) -> Callable[[pa.Table, pa.Table], pa.Table]:
    """Adds what it finds of the parts, behind the numbers of those that were packed."""

    def work(shown: pa.Table, happened: pa.Table) -> pa.Table:
        columns: dict[str, pa.Array] = {}
        for part in waiting:
            values_RM = _unpacked(shown, _block_column(part), len(plan.ledgers[part].measures))
            found = zip(plan.ledgers[part].measures, values_RM.T, strict=True)
            columns |= {measure.name: pa.array(values, from_pandas=True) for measure, values in found}
        times = _longs(shown, _AT)
        for part in parts:
            if part < len(plan.ledgers):
                numbers = _numbers(plan.ledgers[part], shown, happened, part, start, times)
                columns |= {name: pa.array(values, mask=unknown) for name, (values, unknown) in numbers.items()}
            else:
                columns |= _sequences(plan.shapes[part - len(plan.ledgers)], shown, happened, part, times)
        shown = shown.drop_columns([_block_column(part) for part in waiting])
        for name, values in columns.items():
            shown = shown.append_column(name, values)
        return shown

    return work


def _packing(plan: Plan, parts: list[int], start: int | None) -> Callable[[pa.Table, pa.Table], pa.Table]:
    """Adds the numbers of each ledger as one binary a row, float32 with NaN where one is unknown."""

    def work(shown: pa.Table, happened: pa.Table) -> pa.Table:
        times = _longs(shown, _AT)
        for part in parts:
            numbers = _numbers(plan.ledgers[part], shown, happened, part, start, times)
            values_RM = np.stack(
                [np.where(unknown, np.float32(np.nan), values) for values, unknown in numbers.values()], axis=1
            )
            ends = np.arange(shown.num_rows + 1) * len(numbers)
            shown = shown.append_column(_block_column(part), _packed(values_RM.ravel(), ends))
        return shown

    return work


def _numbers(
    ledger: Ledger, shown: pa.Table, happened: pa.Table, part: int, start: int | None, times: Longs
) -> dict[str, tuple[NDArray[np.float32], NDArray[np.bool_]]]:
    """Each measure's values, and where they are unknown."""
    keys, without = _keys(shown, _key_column(part))
    found = _books(ledger, happened, part, start).at(keys, times)
    return {name: (values, unknown | without) for name, (values, unknown) in measured(ledger, found, times).items()}


def _sequences(shape: Shape, shown: pa.Table, happened: pa.Table, part: int, times: Longs) -> dict[str, pa.Array]:
    users, _ = _keys(shown, _USER)
    # Many impressions are of one user and instant: the last events of each such pair are looked up once.
    pairs, place = np.unique(np.stack([users, times]), axis=1, return_inverse=True)
    found = sequences(shape, _happened(shape, happened, part), pairs[0], pairs[1])
    place = place.reshape(-1)
    starts = np.concatenate([[0], np.cumsum(found.counts)])
    counts = found.counts[place]
    ends = np.concatenate([[0], np.cumsum(counts)])
    # The positions of each row's events among those of its pair.
    flat = np.arange(ends[-1]) - np.repeat(ends[:-1], counts) + np.repeat(starts[place], counts)
    fields: dict[str, NDArray[Any]] = {field: found.ids[:, n] for n, field in enumerate(shape.ids)}
    fields |= {field: found.dense[:, n] for n, field in enumerate(shape.dense)}
    if shape.age:
        fields["age"] = found.ages
    return {f"{shape.name}_{field}": _packed(values[flat], ends) for field, values in fields.items()}


def _packed(values: NDArray[Any], ends: Longs) -> pa.Array:
    """Binaries, one a row: its values one after the other, little-endian (int64 or float32)."""
    data = values.astype("<i8" if values.dtype.kind == "i" else "<f4", copy=False)
    offsets = (ends * data.itemsize).astype(np.int32)
    return pa.Array.from_buffers(
        pa.binary(), ends.size - 1, [None, pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(data))]
    )


def _balances(ledger: Ledger, table: pa.Table, part: int, start: int | None, end: int) -> pa.Table:
    books = _books(ledger, table, part, start)
    keys = books.keys()
    totals = books.at(keys, np.full(keys.shape, end))
    own = table.filter(pc.equal(table["_part"], part))
    # A key has one owner.
    first = np.unique(_longs(own, "_key"), return_index=True)[1]
    owners = _longs(own, "_owner")[first]
    nothing = np.zeros(keys.shape, np.int64)
    return _recollection(owners, part, _BALANCE, keys, nothing, nothing, totals, np.zeros((keys.size, 0), np.float32))


def _latest(shape: Shape, table: pa.Table, part: int) -> pa.Table:
    last = latest(shape, _happened(shape, table, part))
    return _recollection(last.users, part, 0, last.users, last.arrived, last.times, last.ids, last.dense)


def _recollection(
    owners: Longs, part: int, stream: int, keys: Longs, arrived: Longs, times: Longs, values: Longs,
    floats: NDArray[np.float32],
) -> pa.Table:  # fmt: skip
    def lists(rows: NDArray[Any]) -> pa.Array:
        offsets = np.arange(rows.shape[0] + 1, dtype=np.int32) * rows.shape[1]
        return pa.ListArray.from_arrays(pa.array(offsets.astype(np.int32)), pa.array(rows.reshape(-1)))

    return pa.table(
        {
            "_owner": owners,
            "_part": np.full(keys.shape, part, np.int32),
            "_stream": np.full(keys.shape, stream, np.int32),
            "_key": keys,
            "_at": arrived,
            "_time": times,
            "_values": lists(values),
            "_floats": lists(floats),
        }
    )


def _books(ledger: Ledger, table: pa.Table, part: int, start: int | None) -> Books:
    own = table.filter(pc.equal(table["_part"], part))
    moves = []
    for stream, summed in enumerate(ledger.summed):
        of_stream = own.filter(pc.equal(own["_stream"], stream))
        values = _matrix(of_stream, "_values", len(summed), np.int64)
        moves.append(
            Moves(_longs(of_stream, "_key"), _longs(of_stream, "_at"), _longs(of_stream, "_time"), values)
        )  # fmt: skip
    balances = own.filter(pc.equal(own["_stream"], _BALANCE))
    totals = _matrix(balances, "_values", ledger.width, np.int64)
    return Books(ledger, start, tuple(moves), _longs(balances, "_key"), totals)


def _happened(shape: Shape, table: pa.Table, part: int) -> Happened:
    own = table.filter(pc.equal(table["_part"], part))
    return Happened(
        _longs(own, "_key"),
        _longs(own, "_at"),
        _longs(own, "_time"),
        _matrix(own, "_values", len(shape.ids), np.int64),
        _matrix(own, "_floats", len(shape.dense), np.float32),
    )


def _longs(table: pa.Table, column: str) -> Longs:
    return np.asarray(table[column].to_numpy(), dtype=np.int64)


def _keys(table: pa.Table, column: str) -> tuple[Longs, NDArray[np.bool_]]:
    """Keys, 0 where there is none, and where that is."""
    return _longs(table.select([column]).set_column(0, column, pc.fill_null(table[column], 0)), column), np.asarray(
        pc.is_null(table[column]).to_numpy(), dtype=bool
    )


def _matrix(table: pa.Table, column: str, width: int, kind: type) -> NDArray[Any]:
    """(rows, width): a column of lists of one length."""
    parts = [chunk.flatten().to_numpy(zero_copy_only=False) for chunk in table[column].chunks]
    flat = np.concatenate(parts) if parts else np.zeros(0, kind)
    return flat.astype(kind, copy=False).reshape(table.num_rows, width)


def _unpacked(table: pa.Table, column: str, width: int) -> NDArray[np.float32]:
    """What ``_packed`` made of rows of ``width`` numbers: (R, width)."""
    found: NDArray[np.float32] = np.concatenate(
        [np.empty(0, np.float32), *(_floats(chunk) for chunk in table[column].chunks if len(chunk))]
    )
    return found.reshape(table.num_rows, width)


def _floats(packed: pa.Array) -> NDArray[np.float32]:
    """The numbers of all binaries, one after the other."""
    _, offsets, data = packed.buffers()
    ends = np.frombuffer(offsets, np.int32)[packed.offset : packed.offset + len(packed) + 1]
    return np.frombuffer(data, "<f4", count=(ends[-1] - ends[0]) // 4, offset=ends[0])


def _block_column(part: int) -> str:
    return f"_block_{part}"


def _key_column(part: int) -> str:
    return f"_key_{part}"


def _micros(moment: datetime | None) -> int | None:
    return None if moment is None else microseconds(moment - _EPOCH)
