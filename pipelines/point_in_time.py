"""Features as of each impression: history and sequence features, computed where a user's or an item's rows meet.

Impressions and memory of the same owners are handed to a worker together, as Arrow tables. Who shares a worker changes
nothing.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from pipelines.arrow_columns import keys_of, longs, packed, unpacked
from pipelines.event_memory import GROUP, USER, Plan, books_of, gathered, happened_of, key_column, micros
from pipelines.history import Ledger, measured
from pipelines.ids import joint_key
from pipelines.sequences import Shape, sequences
from pipelines.spans import Span
from pipelines.timelines import Longs
from schemas.space import ModelSpace

_AT = "_at"


def with_features(rows: DataFrame, known: DataFrame, space: ModelSpace, span: Span) -> DataFrame:
    """``rows`` with every history measure (float) and packed sequence (``<name>_<field>``) of the space.

    Args:
        rows: have ``user_id``, ``item_id``, ``impression_time`` and attributes ``a.b`` as ``_a_b``.
        known: the memory of a span that they lie in.
    """
    plan, start = Plan.of(space), micros(span.start)
    keys = {key_column(part): joint_key(*ledger.keys) for part, ledger in enumerate(plan.ledgers)}
    found = rows.withColumns({**keys, USER: joint_key("user_id"), _AT: F.unix_micros("impression_time")})
    if not (gatherings := plan.gatherings()):
        return found.drop(*keys, USER, _AT)
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
    return found.drop(*keys, USER, _AT)


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
    shown = gathered(rows, owner)
    happened = gathered(known.where(F.col("_part").isin(parts)), "_owner")
    schema = T.StructType([*shown.drop(*dropped).schema.fields, *added])
    return shown.groupBy(GROUP).cogroup(happened.groupBy(GROUP)).applyInArrow(work, schema).drop(GROUP)


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
            values_RM = unpacked(shown, _block_column(part), len(plan.ledgers[part].measures))
            found = zip(plan.ledgers[part].measures, values_RM.T, strict=True)
            columns |= {measure.name: pa.array(values, from_pandas=True) for measure, values in found}
        times = longs(shown, _AT)
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
        times = longs(shown, _AT)
        for part in parts:
            numbers = _numbers(plan.ledgers[part], shown, happened, part, start, times)
            values_RM = np.stack(
                [np.where(unknown, np.float32(np.nan), values) for values, unknown in numbers.values()], axis=1
            )
            ends = np.arange(shown.num_rows + 1) * len(numbers)
            shown = shown.append_column(_block_column(part), packed(values_RM.ravel(), ends))
        return shown

    return work


def _numbers(
    ledger: Ledger, shown: pa.Table, happened: pa.Table, part: int, start: int | None, times: Longs
) -> dict[str, tuple[NDArray[np.float32], NDArray[np.bool_]]]:
    """Each measure's values, and where they are unknown."""
    keys, without = keys_of(shown, key_column(part))
    found = books_of(ledger, happened, part, start).at(keys, times)
    return {name: (values, unknown | without) for name, (values, unknown) in measured(ledger, found, times).items()}


def _sequences(shape: Shape, shown: pa.Table, happened: pa.Table, part: int, times: Longs) -> dict[str, pa.Array]:
    users, _ = keys_of(shown, USER)
    # Many impressions are of one user and instant: the last events of each such pair are looked up once.
    pairs, place = np.unique(np.stack([users, times]), axis=1, return_inverse=True)
    found = sequences(shape, happened_of(shape, happened, part), pairs[0], pairs[1])
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
    return {f"{shape.name}_{field}": packed(values[flat], ends) for field, values in fields.items()}


def _block_column(part: int) -> str:
    return f"_block_{part}"
