"""Point-in-time aggregates: what a key's events amounted to just before each impression.

One running window a set of keys: events and impression times in one timeline, and for each horizon h the difference
of two running totals, up to t and up to t - h. Both are unbounded-preceding frames, which Spark advances
incrementally, so the cost is linear in rows whatever the horizons. An event counts if it had arrived in [t - h, t).
"""

from collections.abc import Mapping
from datetime import timedelta
from functools import reduce

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from schemas.duration import microseconds
from schemas.features import history_measures
from schemas.space import History

# Sums run over whole numbers of 1/10,000: exact, whatever the order of rows.
_SCALE = 10_000
_DAY = 86_400_000_000


def history_features(
    points: DataFrame, events: Mapping[str, DataFrame], keys: list[str], histories: Mapping[str, History]
) -> DataFrame:
    """One row a distinct (keys, impression_time) of ``points`` with the measures of ``histories`` (float).

    Args:
        points: has the key columns and ``impression_time``; rows with a null key are left out.
        events: by name; each has the key columns, ``event_time``, ``arrival_time`` and the columns that are summed.
        keys: the key columns that all of ``histories`` share. The result is partitioned by the first one alone, so
            that it meets other sets that begin with it without another shuffle.
        histories: the declarations, by feature name. Counts and sums are 0 where nothing had happened; recency and
            gap (days) are null.
    """
    streams = sorted({history.events for history in histories.values()})
    summed = {s: sorted({c for h in histories.values() if h.events == s for c in h.sums}) for s in streams}
    timeline = [points.select(*keys, F.unix_micros("impression_time").alias("_at"), F.lit(True).alias("_point"))]
    timeline[0] = timeline[0].distinct()
    for stream in streams:
        timeline.append(
            events[stream].select(
                *keys,
                F.unix_micros("arrival_time").alias("_at"),
                F.lit(False).alias("_point"),
                F.unix_micros("event_time").alias(f"_{stream}_time"),
                F.lit(1).cast("long").alias(f"_{stream}_count"),
                *(
                    F.round(F.col(column).cast("double") * _SCALE).cast("long").alias(f"_{stream}_{column}")
                    for column in summed[stream]
                ),
            )
        )
    rows = reduce(lambda left, right: left.unionByName(right, allowMissingColumns=True), timeline)
    for key in keys:
        rows = rows.where(F.col(key).isNotNull())
    rows = rows.repartition(keys[0])
    # Named first, filtered after: the filter must not reach below the window.
    measured = rows.select(*keys, "_at", "_point", *_measures(keys, histories))
    return measured.where("_point").select(
        *keys, F.timestamp_micros("_at").alias("impression_time"), *_columns(histories)
    )


def _columns(histories: Mapping[str, History]) -> list[str]:
    return [column for name, history in histories.items() for column in history_measures(name, history)]


def _measures(keys: list[str], histories: Mapping[str, History]) -> list[Column]:
    ordered = Window.partitionBy(*keys).orderBy("_at")
    before = ordered.rangeBetween(Window.unboundedPreceding, -1)

    def total(column: str, horizon: str | timedelta | None) -> Column:
        running = F.coalesce(F.sum(column).over(before), F.lit(0))
        if not isinstance(horizon, timedelta):
            return running
        older = ordered.rangeBetween(Window.unboundedPreceding, -microseconds(horizon) - 1)
        return running - F.coalesce(F.sum(column).over(older), F.lit(0))

    measures = []
    for name, history in histories.items():
        time, count = f"_{history.events}_time", f"_{history.events}_count"
        first, last = F.min(time).over(before), F.max(time).over(before)
        for column, (measure, horizon) in history_measures(name, history).items():
            if measure == "recency":
                value = (F.col("_at") - last) / _DAY
            elif measure == "gap":
                several = total(count, None) > 1
                value = F.when(several, (last - first) / (total(count, None) - 1) / _DAY)
            elif measure == "count":
                value = total(count, horizon)
            else:
                value = total(f"_{history.events}_{measure}", horizon) / _SCALE
            measures.append(value.cast("float").alias(column))
    return measures
