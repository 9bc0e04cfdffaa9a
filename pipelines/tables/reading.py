"""Reading versions of tables with Spark."""

import json
from collections.abc import Collection
from datetime import UTC, datetime

from deltalake import DeltaTable
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import StructType

from pipelines.tables.listing import files
from pipelines.tables.uris import is_local, join_uri
from pipelines.tables.versions import PUBLISHED, Published, at_version


def read(spark: SparkSession, table: Published) -> DataFrame:
    """The rows of a published version."""
    # The commit that names a version has the same rows. As the table's latest version Spark keeps it at hand; any
    # other, and so the one before it, it puts together from the log again for each query.
    latest = DeltaTable(table.uri)
    named = table.version + 1
    if latest.version() != named or latest.metadata().configuration.get(PUBLISHED) != str(table.version):
        return read_delta(spark, table.uri, table.version)
    read_delta(spark, table.uri)
    return read_delta(spark, table.uri, named)


def read_files(spark: SparkSession, table: Published, but: Collection[str] = ()) -> DataFrame:
    """The rows of a version straight from its Parquet files, ``but`` for some of them.

    Delta's own planning of a query takes time in the square of the table's columns, seconds where there are thousands;
    who reads all rows needs nothing of what it does.
    """
    schema = spark_schema(table)
    wanted = [uri for uri in files(table) if uri not in but]
    if not wanted:
        return spark.createDataFrame([], schema)
    if not is_local(table.uri):
        # Named as the table is: another library may write the scheme of an object store in another way.
        root = at_version(table.uri, table.version).table_uri
        wanted = [join_uri(table.uri, path[len(root) :].lstrip("/")) for path in wanted]
    return spark.read.schema(schema).parquet(*wanted)


def read_delta(
    spark: SparkSession, uri: str, version: int | None = None, as_of: datetime | None = None
) -> DataFrame:  # fmt: skip
    """The rows of any Delta table, at its latest version, a given one, or the latest of an instant (with a zone)."""
    reader = spark.read.format("delta")
    if as_of is not None:
        # Without a zone it is read in the session's, which is UTC.
        reader = reader.option("timestampAsOf", f"{as_of.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}")
    return (reader if version is None else reader.option("versionAsOf", version)).load(uri)


def leading(frame: DataFrame, *names: str) -> DataFrame:
    """These columns first: Delta keeps least and greatest of a table's first columns alone (pipelines.session)."""
    return frame.select(*names, *(name for name in frame.columns if name not in names))


def spark_schema(table: Published) -> StructType:
    """Delta notes it in Spark's own words."""
    return StructType.fromJson(json.loads(at_version(table.uri, table.version).schema().to_json()))
