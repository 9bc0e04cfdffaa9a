"""KuaiVideo_x1: micro-videos shown to 10,000 users of Kuaishou, as BARS and FuxiCTR distribute them.

Files (BARS, datasets/KuaiShou; Li et al., MM 2019): ``train.csv`` and ``test.csv`` with ``timestamp``, ``user_id``,
``item_id``, ``is_click``, ``is_like``, ``is_follow``, ``pos_items`` and ``neg_items`` (the user's clicked and unclicked
items so far, oldest first, joined by ``^``, the first 100 of them), and ``item_visual_emb_dim64.h5`` with ``key``
(item) and ``value`` (64 numbers).

The publishers changed the timestamps so that only their order means something: here they are laid over 100 days from
1970-01-01. Rows have no key: equal ones are counted. A user's j-th item in a list becomes an event just before the
first row whose list holds j items, so that a sequence feature of 100 events is exactly that list, newest first.
"""

from pathlib import Path

import pandas as pd
from pyspark.sql import Column, DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from pipelines.sources.base import SourceTables, declared_tables, require_columns
from pipelines.sources.opening import open_table, resolve
from pipelines.spans import EVER, Span
from schemas.errors import LatticeError
from schemas.space import ModelSpace, Sample, TableFile
from schemas.tables import FEEDBACK, attribute_columns, event_columns, impression_columns

_NUMBERS = ("timestamp", "is_click", "is_like", "is_follow")
_COLUMNS = ("timestamp", "user_id", "item_id", "is_click", "is_like", "is_follow", "pos_items", "neg_items")
_LENGTH = 100
_WHOLE = 100 * 86_400_000_000
_VISUAL = "item_visual_emb_dim64.h5"


def read(
    spark: SparkSession, space: ModelSpace, folder: Path, span: Span = EVER, _sample: Sample | None = None
) -> SourceTables:
    """The tables that ``space`` declares, from the folder ``source.path``; ``span`` is not used.

    Raises:
        LatticeError: the files are not there or not of that form, or the space declares what they do not give.
    """
    path = data_path(space, folder)
    rows = _rows(spark, path)
    events = {"clicked": _listed(rows, "pos_items"), "passed": _listed(rows, "neg_items")}
    answered = {name: rows.where(f"is_{name} = 1") for name in ("click", "like", "follow")}
    visual = {"visual": _visual(spark, Path(path))} if "visual" in space.attributes else {}
    return SourceTables(
        on_time=True,
        impressions=declared_tables(
            "domains",
            {"video": rows.withColumn("impression_time", F.col("arrival_time"))},
            {name: impression_columns(domain) for name, domain in space.domains.items()},
        ),
        feedback=declared_tables(
            "objectives",
            {name: _feedback(frame) for name, frame in answered.items()},
            dict.fromkeys(space.objectives, FEEDBACK),
        ),
        events=declared_tables("events", events, {name: event_columns(table) for name, table in space.events.items()}),
        attributes=declared_tables(
            "attributes", visual, {name: attribute_columns(table) for name, table in space.attributes.items()}
        ),
    )


def data_path(space: ModelSpace, folder: Path) -> str:
    if space.source.path is None:
        raise LatticeError(
            "source.path", "The folder of KuaiVideo_x1's files is not given.", "Fetch them (BARS) and add their folder."
        )
    return resolve(space.source.path, folder)


def _rows(spark: SparkSession, folder: str) -> DataFrame:
    """Both files in one frame, with ``arrival_time`` and ``source_key``; ``test`` is 1 for those of ``test.csv``."""
    parts = []
    for number, name in enumerate(("train", "test")):
        path = f"{folder}/{name}.csv"
        part = open_table(spark, TableFile(path=path, format="csv"))
        require_columns(_COLUMNS, part.columns, path)
        numbers = [F.col(column).cast("long").alias(column) for column in _NUMBERS]
        kept = [column for column in _COLUMNS if column not in _NUMBERS]
        parts.append(part.select(*numbers, *kept, F.lit(number).cast("long").alias("test")))
    rows = parts[0].unionByName(parts[1])
    first, last = rows.agg(F.min("timestamp"), F.max("timestamp")).collect()[0]
    step = _WHOLE // (last - first + 1)
    if step <= 2 * _LENGTH:
        raise LatticeError(
            f"{folder}/train.csv",
            f"Its timestamps, {first:,} to {last:,}, lie too close for the events of a list to fit between them.",
            "Are these KuaiVideo_x1's files?",
        )
    same = Window.partitionBy("test", "user_id", "item_id", "timestamp")
    again = F.row_number().over(same.orderBy("is_click", "is_like", "is_follow", "pos_items", "neg_items"))
    key = F.concat_ws(" ", "test", "user_id", "item_id", "timestamp", again.cast("string"))
    return rows.withColumns(
        {"arrival_time": F.timestamp_micros((F.col("timestamp") - first) * step), "source_key": key}
    ).drop("timestamp")


def _feedback(rows: DataFrame) -> DataFrame:
    nothing = {"domain": F.lit("video"), "value": F.lit(None).cast("double")}
    return rows.withColumns({"feedback_time": F.col("arrival_time"), **nothing})


def _listed(rows: DataFrame, name: str) -> DataFrame:
    """The items of a list as events of their user."""
    items = F.filter(F.split(F.coalesce(name, F.lit("")), r"\^"), lambda item: item != "")
    lists = rows.select("user_id", items.alias("items"), F.unix_micros("arrival_time").alias("at"))
    # Few rows a user: one for each length that the list had, with the time at which it was first seen.
    lengths = lists.groupBy("user_id", F.size("items").alias("length")).agg(F.min("at").alias("at"))
    later = Window.partitionBy("user_id").orderBy(F.col("length").desc())
    seen = lengths.select("user_id", "length", F.min("at").over(later).alias("at"))
    longest = lists.groupBy("user_id").agg(F.max_by("items", F.struct(F.size("items"), -F.col("at"))).alias("items"))
    shorter = Window.partitionBy("user_id").orderBy("length")
    grown = seen.withColumn("before", F.coalesce(F.lag("length").over(shorter), F.lit(0)))
    # A user has one longest list: the join keeps the number of rows. Each entry is the items that came with one growth.
    came = grown.join(longest, on="user_id", how="inner").select(
        "user_id", "at", "before", F.posexplode(_between("items", "before", "length")).alias("place", "item_id")
    )
    return came.select(
        "user_id",
        "item_id",
        F.timestamp_micros(F.col("at") - 2 * _LENGTH + F.col("before") + F.col("place")).alias("event_time"),
    ).withColumn("arrival_time", F.col("event_time"))


def _between(items: str, start: str, end: str) -> Column:
    return F.slice(items, F.col(start) + 1, F.col(end) - F.col(start))


def _visual(spark: SparkSession, folder: Path) -> DataFrame:
    """What the thumbnails look like: ``visual_0`` to ``visual_63`` of each item."""
    path = folder / _VISUAL
    import h5py  # only for this table

    try:
        with h5py.File(path) as file:
            keys, values = file["key"][:], file["value"][:]
    except (OSError, KeyError) as error:
        raise LatticeError(str(path), f"It cannot be read: {error}.", "Fetch the file again.") from error
    table = pd.DataFrame(values.astype("float64"), columns=[f"visual_{n}" for n in range(values.shape[1])])
    table.insert(0, "item_id", keys.astype(str))
    return spark.createDataFrame(table)
