"""Forgotten users: whose rows lie in which file, and a source's tables without those on the list.

The list has keyed hashes of the users' ids (pipelines.keyed): it says of a row that comes in whether its user was
forgotten, and without the key nothing about anybody.
"""

from collections.abc import Sequence
from dataclasses import replace

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from pipelines.keyed import keyed_hash
from pipelines.sources.base import SourceTables

FORGOTTEN = "user string, key string"
"""The list: the keyed hash of a user's id, and which key it was made with."""
PLACE, FILE = "_place", "_file"


def without_users(rows: DataFrame, forgotten: DataFrame, key: bytes) -> DataFrame:
    """``rows`` but for those of forgotten users; a row without a user stays.

    Args:
        forgotten: has ``user``, keyed hashes.
        key: that of the hashes.
    """
    hashed = F.broadcast(forgotten.select(F.col("user").alias("_forgotten")))
    return rows.join(hashed, on=keyed_hash(key, F.col("user_id")) == F.col("_forgotten"), how="left_anti")


def tables_without_users(tables: SourceTables, forgotten: DataFrame, key: bytes) -> SourceTables:
    """Every table of a source but for the rows of forgotten users."""

    def kept(rows: DataFrame) -> DataFrame:
        return without_users(rows, forgotten, key) if "user_id" in rows.columns else rows

    return replace(
        tables,
        impressions={name: kept(rows) for name, rows in tables.impressions.items()},
        feedback={name: kept(rows) for name, rows in tables.feedback.items()},
        events={name: kept(rows) for name, rows in tables.events.items()},
        attributes={name: kept(rows) for name, rows in tables.attributes.items()},
    )


def ids_of(spark: SparkSession, ids: Sequence[tuple[int, str]]) -> DataFrame:
    """What users are called in a table: (the user's place in the request, an id that it has there), all different."""
    return spark.createDataFrame(list(ids), f"{PLACE} int, user_id string")


def read_files(spark: SparkSession, paths: Sequence[str], schema: str) -> DataFrame:
    """Some columns of Parquet files, and the name of each row's file; no table says which of them are of a version."""
    rows = spark.read.schema(schema).parquet(*paths) if paths else spark.createDataFrame([], schema)
    name = F.element_at(F.split(F.col("_metadata.file_path"), "/"), -1) if paths else F.lit("")
    return rows.select("*", name.alias(FILE))


def holding(rows: DataFrame, ids: DataFrame, key: str) -> DataFrame:
    """Which files hold rows of whom: a row a file and place in the request.

    Args:
        rows: ``read_files``, with ``key``, and ``available_time`` if that matters.
        ids: values of ``key``, all different, and the place of the user that each belongs to.
    """
    first = [F.min("available_time").alias("first")] if "available_time" in rows.columns else []
    found = rows.join(ids, on=key, how="inner").groupBy(FILE, PLACE)
    return found.agg(F.count(F.lit(1)).alias("rows"), *first)
