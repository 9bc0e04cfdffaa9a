"""Zipper: each impression gets exactly one attribution window (paper 3.2.1, M3C 3.2.1).

The window is a function of the impression's signature and the declared weights alone. With
``h = xxhash64(user_id, item_id, impression_time in microseconds)`` and integer weights W, the windows are laid out on
``pmod(h, sum W)`` from the longest to the shortest. With uniform weights that is M3C's
``(h mod K + i) mod K == 0`` for the i-th shortest of K windows.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from schemas.duration import format_duration, parse_duration
from schemas.errors import LatticeError
from schemas.space import ModelSpace

Weights = Sequence[int] | Mapping[date | datetime, Sequence[int]]


def assign_window(
    impressions: DataFrame, windows: Sequence[str | timedelta], weights: Weights | None = None
) -> DataFrame:
    """Add ``window`` (string such as ``7d``): the attribution window of each impression.

    Args:
        impressions: has ``user_id``, ``item_id`` and ``impression_time``; a null counts as a value of its own.
        windows: from the shortest to the longest; empty gives a null window.
        weights: positive integers, one a window, uniform by default. A mapping gives the weights in force from a
            date (or instant; dates start at midnight UTC) on; the first ones also hold before it.

    Raises:
        LatticeError: windows that are not ordered, or weights that do not fit them.
    """
    lengths = [_duration(window) for window in windows]
    if sorted(set(lengths)) != lengths:
        raise LatticeError(
            "assign_window", f"The windows {list(windows)} are not ordered.", "Order them from the shortest, each once."
        )
    if not lengths:
        return impressions.withColumn("window", F.lit(None).cast("string"))
    return impressions.withColumn("window", _window(lengths, _schedule(weights, len(lengths))))


def group_window(impressions: DataFrame, space: ModelSpace, group: str) -> DataFrame:
    """``assign_window`` as a group of the space declares it."""
    declared = space.groups[group]
    weights: dict[date | datetime, tuple[int, ...]] = {space.instant(w.start): w.values for w in declared.weights}
    return assign_window(impressions, declared.windows, weights or None)


def _window(lengths: list[timedelta], schedule: list[tuple[datetime | None, tuple[int, ...]]]) -> Column:
    # A null is hashed as a marker of its own: xxhash64 would skip it, and (null, x) would equal (x, null).
    parts = (F.coalesce(F.col(key).cast("string"), F.lit("\0")) for key in ("user_id", "item_id"))
    signature = F.xxhash64(*parts, F.coalesce(F.unix_micros("impression_time"), F.lit(0)))
    assigned = _laid_out(signature, lengths, schedule[0][1])
    for start, values in schedule[1:]:
        assigned = F.when(F.col("impression_time") >= F.lit(start), _laid_out(signature, lengths, values)).otherwise(
            assigned
        )
    return assigned


def _laid_out(signature: Column, lengths: list[timedelta], weights: tuple[int, ...]) -> Column:
    position = F.pmod(signature, F.lit(sum(weights)))
    upper, column = 0, None
    for length, weight in zip(reversed(lengths), reversed(weights), strict=True):
        upper += weight
        label = F.lit(format_duration(length))
        column = F.when(position < upper, label) if column is None else column.when(position < upper, label)
    assert column is not None
    return column


def _schedule(weights: Weights | None, count: int) -> list[tuple[datetime | None, tuple[int, ...]]]:
    if weights is None:
        weights = [1] * count
    if not isinstance(weights, Mapping):
        return [(None, _checked(weights, count))]
    if not weights:
        raise LatticeError("assign_window", "The weights are an empty mapping.", "Give weights from at least one date.")
    return sorted((_instant(start), _checked(values, count)) for start, values in weights.items())


def _checked(values: Sequence[int], count: int) -> tuple[int, ...]:
    if len(values) != count or any(not isinstance(v, int) or isinstance(v, bool) or v <= 0 for v in values):
        raise LatticeError(
            "assign_window",
            f"The weights {list(values)} do not fit {count} windows.",
            "Give one positive whole number a window, from the shortest to the longest.",
        )
    return tuple(values)


def _instant(start: date | datetime) -> datetime:
    if isinstance(start, datetime):
        return start if start.tzinfo else start.replace(tzinfo=UTC)
    return datetime.combine(start, time.min, tzinfo=UTC)


def _duration(window: str | timedelta) -> timedelta:
    try:
        return parse_duration(window)
    except ValueError as error:
        raise LatticeError("assign_window", f"The window {window!r} makes no sense.", f"{error}.") from error
