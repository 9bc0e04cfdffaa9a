"""Event sequences: the last N events of a user that had arrived strictly before each impression, newest first.

Events are numbered along the user's timeline; a point's sequence is the range of the last N numbers. That is exact
whatever lies between, and costs N a row, not the user's whole past.
"""

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from pipelines.ids import hashed_id
from schemas.features import attribute_column
from schemas.space import Sequence

_DAY = 86_400_000_000


def sequence_feature(points: DataFrame, events: DataFrame, key: str, name: str, sequence: Sequence) -> DataFrame:
    """One row a distinct (``key``, impression_time) of ``points`` with the arrays ``<name>_<field>``.

    ``key`` is the column that says whose timeline it is. ``events`` has it, ``item_id``, ``event_time``,
    ``arrival_time`` and every column that the fields name (an attribute ``a.b`` as ``_a_b``). Events of one instant
    are ordered by their own values, so the order of rows does not matter.
    """
    fields = {
        **{
            field: hashed_id(part.id_space, F.col(attribute_column(part.column)))
            for field, part in sequence.ids.items()
        },
        **{column: F.coalesce(F.col(column).cast("float"), F.lit(0.0).cast("float")) for column in sequence.dense},
    }
    point_rows = points.select(key, F.unix_micros("impression_time").alias("_at")).distinct()
    event_rows = events.select(
        key,
        F.unix_micros("arrival_time").alias("_at"),
        F.struct(F.unix_micros("event_time").alias("_time"), *(v.alias(k) for k, v in fields.items())).alias("_event"),
    )
    rows = point_rows.unionByName(event_rows, allowMissingColumns=True).where(F.col(key).isNotNull())
    # At one instant the point (null event) comes first: what arrives with the impression is not before it.
    timeline = Window.partitionBy(key).orderBy("_at", F.col("_event").asc_nulls_first())
    numbered = rows.withColumn(
        "_number", F.count("_event").over(timeline.rowsBetween(Window.unboundedPreceding, Window.currentRow))
    )
    latest = Window.partitionBy(key).orderBy("_number").rangeBetween(1 - sequence.length, 0)
    found = numbered.withColumn("_events", F.collect_list("_event").over(latest))
    newest_first = found.where("_event is null").select(
        key, "_at", F.reverse(F.array_sort(F.col("_events"))).alias("_events")
    )
    return newest_first.select(
        key,
        F.timestamp_micros("_at").alias("impression_time"),
        *(F.col(f"_events.{field}").alias(f"{name}_{field}") for field in fields),
        *([_ages().alias(f"{name}_age")] if sequence.age else []),
    )


def _ages() -> Column:
    return F.transform("_events", lambda event: ((F.col("_at") - event["_time"]) / _DAY).cast("float"))
