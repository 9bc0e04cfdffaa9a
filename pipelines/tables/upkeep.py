"""Keeping tables in order: merging small files, deleting old ones, taking rows out."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from datetime import UTC, datetime

from delta.tables import DeltaTable as SparkTable
from deltalake import ColumnProperties, DeltaTable, Field, WriterProperties
from deltalake.exceptions import TableNotFoundError
from deltalake.schema import PrimitiveType
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipelines.tables.publishing import forget_orphans
from pipelines.tables.reading import read_delta
from pipelines.tables.versions import REMOVED, Published, name_version, noted, published
from pipelines.tables.writing import dictionaries, settings_of_parquet
from schemas.forgetting import Removal


def compact(
    table: Published,
    beside: Callable[[Published], None] = lambda _: None,
    run: str = "",
    rows_a_group: int | None = None,
) -> Published:
    """Merge a table's small files into larger ones and publish the result; the same rows, in a new version.

    Readers of older versions are not disturbed: no file is removed. ``beside`` and ``run`` as of ``publish``.
    ``rows_a_group``: of a table that is laid out for training, so many rows a row group at most; otherwise as many as
    the library takes.
    """
    forget_orphans(table)
    delta = DeltaTable(table.uri)
    coded = {column.name: not _is_plain(column) for column in delta.schema().fields}
    done = delta.optimize.compact(
        writer_properties=WriterProperties(
            compression="ZSTD",
            max_row_group_size=rows_a_group,
            column_properties={name: ColumnProperties(dictionary_enabled=is_coded) for name, is_coded in coded.items()},
        ),
        commit_properties=noted(run),
    )
    if not done["numFilesRemoved"]:
        return table
    made = replace(table, version=DeltaTable(table.uri).version(), run=run)
    beside(made)
    name_version(made)
    return made


def _is_plain(column: Field) -> bool:
    """Whether a column holds measured or packed numbers: as of ``dictionaries``."""
    return isinstance(column.type, PrimitiveType) and column.type.type in ("float", "double", "binary")


def vacuum(uri: str, keep: Collection[int], days: int, full: bool = False) -> int:
    """Delete the files that no version in ``keep`` needs and that left the table ``days`` ago; return how many.

    ``full``: and those that never were part of a version, such as a killed writer's.
    """
    try:
        table = DeltaTable(uri)
    except TableNotFoundError:
        return 0
    return len(
        table.vacuum(
            retention_hours=24 * days,
            dry_run=False,
            enforce_retention_duration=False,
            keep_versions=sorted(keep) or None,
            full=full,
        )
    )


def take_out(
    gone: DataFrame, uri: str, removal: Removal, *, held: bool, run: str, options: Mapping[str, str]
) -> Removal:
    """Take rows out of a table, in a version that is not yet published if the table is one that is.

    The version that the note names begins after the commit that took them out: that commit still lists the files that
    held them, with the least and greatest of their values.

    Args:
        gone: the rows' keys, all different, in the one column of the table that they are known by.
        removal: what the table is to note; its version and time are filled in.
        held: whether the table holds such rows now; otherwise only its earlier versions do.
        options: of the Parquet writer.
    """
    before, spark, (key,) = published(uri), gone.sparkSession, gone.columns
    if before is not None:
        forget_orphans(before)
    if held:
        settings = {"spark.databricks.delta.commitInfo.userMetadata": f"lattice run={run}"}
        settings["spark.sql.parquet.compression.codec"] = options.get("compression", "zstd")
        of_parquet = {name: value for name, value in options.items() if name.startswith("parquet.")}
        with settings_of_parquet(spark, {**settings, **dictionaries(read_delta(spark, uri)), **of_parquet}):
            # The condition compares two columns: no value of a row gets into the table's log.
            same = F.col(f"kept.{key}") == F.col(f"gone.{key}")
            kept = SparkTable.forPath(spark, uri).alias("kept")
            kept.merge(gone.alias("gone"), same).whenMatchedDelete().execute()
    table = DeltaTable(uri)
    made = removal.model_copy(update={"version": table.version() + 1, "time": datetime.now(UTC)})
    table.alter.set_table_properties(
        {REMOVED: made.model_dump_json()}, raise_if_not_exists=False, commit_properties=noted(run)
    )
    return made


def write_checkpoint(uri: str, version: int) -> None:
    """Let a table be read from a version on without the log before it."""
    # The latest last: readers begin with the one that was written last.
    DeltaTable(uri, version=version).create_checkpoint()
    DeltaTable(uri).create_checkpoint()
