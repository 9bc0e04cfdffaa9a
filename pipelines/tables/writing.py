"""Writing versions that nobody reads yet."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from deltalake import DeltaTable
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import BinaryType, DoubleType, FloatType


def write(frame: DataFrame, uri: str, *, append: bool, note: str, options: Mapping[str, str] | None = None) -> int:
    """Write a version that nobody reads until a publication names or pins it; return its number.

    Rows that are added may have other columns than those that are there; what a row lacks is null.
    """
    writer = frame.write.format("delta").mode("append" if append else "overwrite")
    writer = writer.option("mergeSchema" if append else "overwriteSchema", "true")
    wanted = {"compression": "zstd", **(options or {})}
    of_parquet = {key: value for key, value in wanted.items() if key.startswith("parquet.")}
    of_delta = {key: value for key, value in wanted.items() if key not in of_parquet}
    with settings_of_parquet(frame.sparkSession, {**dictionaries(frame), **of_parquet}):
        writer.options(userMetadata=f"lattice {note}", **of_delta).save(uri)
    return DeltaTable(uri).version()


def replace_where(rows: DataFrame, uri: str, condition: str, note: str) -> None:
    """Put ``rows`` in the place of those of a table without publications for which a SQL condition holds."""
    writer = rows.write.format("delta").mode("overwrite").option("replaceWhere", condition)
    writer.option("userMetadata", f"lattice {note}").save(uri)


@contextmanager
def settings_of_parquet(spark: SparkSession, values: Mapping[str, str]) -> Iterator[None]:
    """Settings of Parquet's writer while the block lasts: Delta drops all but a few that a writer is given itself."""
    before = {key: spark.conf.get(key, None) for key in values}
    for key, value in values.items():
        spark.conf.set(key, value)
    try:
        yield
    finally:
        for key, was in before.items():
            if was is None:
                spark.conf.unset(key)
            else:
                spark.conf.set(key, was)


def dictionaries(frame: DataFrame) -> dict[str, str]:
    """Dictionaries for ids and names alone, of which few differ: not for measured numbers and packed ones.

    To look each of those up takes half of the time of writing, and saves a tenth of the bytes.
    """
    plain = (FloatType, DoubleType, BinaryType)
    coded = (field.name for field in frame.schema if not isinstance(field.dataType, plain))
    return {"parquet.enable.dictionary": "false", **{f"parquet.enable.dictionary#{name}": "true" for name in coded}}
