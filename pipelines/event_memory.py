"""What happened, in a span and before it, as features need it: one narrow frame, the memory.

- ``_owner`` (long): what the rows are gathered by: the user, or the ledger's own key;
- ``_part`` (int): which ledger, or (after them) which sequence; ``_stream`` (int): which of its logs, -1 a balance;
- ``_key`` (long): the ledger's key, or the sequence's user; ``_at``, ``_time`` (long): arrival and time, microseconds;
- ``_values`` (array of long): the summed columns of an event, the totals of a balance, or the ids of a sequence;
- ``_floats`` (array of float): the numbers of a sequence.
"""

from collections.abc import Mapping
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

from pipelines.arrow_columns import longs, matrix
from pipelines.history import SCALE, Books, Ledger, Moves
from pipelines.ids import hashed_id, joint_key
from pipelines.sequences import Happened, Shape, latest
from pipelines.spans import Span, any_holds
from pipelines.timelines import Longs
from schemas.duration import microseconds
from schemas.features import attribute_column
from schemas.space import History, ModelSpace

MEMORY = (
    "_owner long, _part int, _stream int, _key long, _at long, _time long, _values array<long>, _floats array<float>"
)
USER, GROUP = "_user", "_group"
# Into how many groups owners are hashed: a worker holds one at a time. Results do not depend on it.
_GROUPS = 64
_BALANCE = -1
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


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
        alone = [(key_column(part), [part]) for part, ledger in every if "user_id" not in ledger.keys]
        of_users = [part for part, ledger in every if "user_id" in ledger.keys]
        of_users += [len(self.ledgers) + position for position in range(len(self.shapes))]
        return [*alone, *([(USER, of_users)] if of_users else [])]


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
    plan, start, end = Plan.of(space), micros(span.start), microseconds(span.end - _EPOCH)

    def remember(table: pa.Table) -> pa.Table:
        return pa.concat_tables(
            [
                *(_balances(ledger, table, part, start, end) for part, ledger in enumerate(plan.ledgers)),
                *(_latest(shape, table, len(plan.ledgers) + n) for n, shape in enumerate(plan.shapes)),
            ]
        )

    return gathered(known, "_owner").groupBy(GROUP).applyInArrow(remember, MEMORY)


def _balances(ledger: Ledger, table: pa.Table, part: int, start: int | None, end: int) -> pa.Table:
    books = books_of(ledger, table, part, start)
    keys = books.keys()
    totals = books.at(keys, np.full(keys.shape, end))
    own = table.filter(pc.equal(table["_part"], part))
    # A key has one owner.
    first = np.unique(longs(own, "_key"), return_index=True)[1]
    owners = longs(own, "_owner")[first]
    nothing = np.zeros(keys.shape, np.int64)
    return _recollection(owners, part, _BALANCE, keys, nothing, nothing, totals, np.zeros((keys.size, 0), np.float32))


def _latest(shape: Shape, table: pa.Table, part: int) -> pa.Table:
    last = latest(shape, happened_of(shape, table, part))
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


def books_of(ledger: Ledger, table: pa.Table, part: int, start: int | None) -> Books:
    """A worker's part of the memory as the books of a ledger."""
    own = table.filter(pc.equal(table["_part"], part))
    moves = []
    for stream, summed in enumerate(ledger.summed):
        of_stream = own.filter(pc.equal(own["_stream"], stream))
        values = matrix(of_stream, "_values", len(summed), np.int64)
        moves.append(
            Moves(longs(of_stream, "_key"), longs(of_stream, "_at"), longs(of_stream, "_time"), values)
        )  # fmt: skip
    balances = own.filter(pc.equal(own["_stream"], _BALANCE))
    totals = matrix(balances, "_values", ledger.width, np.int64)
    return Books(ledger, start, tuple(moves), longs(balances, "_key"), totals)


def happened_of(shape: Shape, table: pa.Table, part: int) -> Happened:
    """A worker's part of the memory as the events of a sequence."""
    own = table.filter(pc.equal(table["_part"], part))
    return Happened(
        longs(own, "_key"),
        longs(own, "_at"),
        longs(own, "_time"),
        matrix(own, "_values", len(shape.ids), np.int64),
        matrix(own, "_floats", len(shape.dense), np.float32),
    )


def gathered(frame: DataFrame, owner: str) -> DataFrame:
    """With the group (``GROUP``) that the rows of an owner share."""
    # A row without an owner has no history; its place is as good as any.
    return frame.withColumn(GROUP, F.pmod(F.xxhash64(owner), F.lit(_GROUPS)).cast("int"))


def micros(moment: datetime | None) -> int | None:
    """Microseconds since 1970."""
    return None if moment is None else microseconds(moment - _EPOCH)


def key_column(part: int) -> str:
    """The column of the impressions' keys of a ledger, while features are computed."""
    return f"_key_{part}"
