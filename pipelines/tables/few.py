"""Reading a few rows without Spark, which would run several jobs for them."""

import operator
import posixpath
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import reduce
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from deltalake import DeltaTable
from pyspark.sql import DataFrame, SparkSession

from pipelines.session import in_memory
from pipelines.spans import Span
from pipelines.tables.listing import exists
from pipelines.tables.reading import read, spark_schema
from pipelines.tables.uris import is_local, path_of
from pipelines.tables.versions import Published, at_version
from schemas.errors import LatticeError
from schemas.quality import FEW

Filter = list[tuple[str, str, Any]]
FEW_BYTES = 32 * 1024 * 1024


def read_rows(table: Published, columns: list[str] | None = None, where: Filter | None = None) -> pa.Table:
    """Rows of a published version of a small table, without Spark.

    Args:
        columns: which; None for all.
        where: (column, ``=``, value) each, all of which hold.
    """
    with sound(table.uri):
        rows: pa.Table = at_version(table.uri, table.version).to_pyarrow_table(columns=columns, filters=where)
    return rows


def read_few(
    spark: SparkSession, table: Published, column: str | None = None, spans: Sequence[Span] = ()
) -> DataFrame | None:
    """Rows of a published version, all whose time lies in one of the spans, in memory; None if that may be too many.

    Spark runs no job for it, where for Delta's log, statistics and files it runs several.
    """
    if not is_local(table.uri):
        return None
    paths, rows, size = holding(table, column, spans)
    if rows > FEW or size > FEW_BYTES:
        return None
    condition = None
    if column is not None:
        condition = reduce(operator.or_, (_within(span, column) for span in spans))
    return in_memory_rows(spark, table, paths, condition)


def holding(table: Published, column: str | None = None, spans: Sequence[Span] = ()) -> tuple[list[str], int, int]:
    """The Parquet files of a published version with any row whose time lies in one of the spans; their rows and bytes.

    By Delta's least and greatest values, as far as the table has them; ``column`` None: every file.
    """
    version = at_version(table.uri, table.version)
    actions = pa.table(version.get_add_actions(flatten=True))
    least, most = f"min.{column}", f"max.{column}"
    if least in actions.column_names:
        # Delta writes whole milliseconds.
        latest = pc.add(actions[most], pa.scalar(timedelta(milliseconds=1)))
        touched = pa.array([False] * actions.num_rows, pa.bool_())
        for span in spans:
            inside = pa.array([True] * actions.num_rows, pa.bool_())
            if span.start is not None:
                inside = pc.and_kleene(inside, pc.greater_equal(latest, span.start))
            if span.end is not None:
                inside = pc.and_kleene(inside, pc.less(actions[least], span.end))
            touched = pc.or_kleene(touched, inside)
        # Unknown is not outside.
        actions = actions.filter(pc.fill_null(touched, True))
    root = version.table_uri.rstrip("/")
    paths = [f"{root}/{path}" for path in actions["path"].to_pylist()]
    rows, size = (sum(actions[name].to_pylist()) for name in ("num_records", "size_bytes"))
    return paths, rows, size


def count_between(spark: SparkSession, table: Published, column: str, span: Span) -> int:
    """How many rows of a published version have a time in a span."""
    if not is_local(table.uri):
        return read(spark, table).where(span.holds(column)).count()
    with sound(table.uri):
        return int(_dataset(table, holding(table, column, [span])[0]).count_rows(filter=_within(span, column)))


def among(table: Published, column: str, values: pa.Array) -> pa.Array:
    """Which of a few values a column of a published version has, without Spark; a row each."""
    rows = at_version(table.uri, table.version).to_pyarrow_dataset()
    with sound(table.uri):
        found = rows.to_table(columns=[column], filter=pc.field(column).isin(values))
    return found.column(column).combine_chunks()


def value_counts(uri: str, *columns: str) -> dict[tuple[str, ...], int]:
    """How many rows of a small Delta table have each combination of values; empty where there is no table."""
    if not exists(uri):
        return {}
    with sound(uri):
        rows = DeltaTable(uri).to_pyarrow_table(columns=list(columns)).select(columns).to_pydict()
    return dict(sorted(Counter(zip(*rows.values(), strict=True)).items()))


def in_memory_rows(
    spark: SparkSession, table: Published, paths: Sequence[str], condition: pc.Expression | None = None
) -> DataFrame:
    """Rows of some local files of a table."""
    with sound(table.uri):
        rows = _dataset(table, paths).to_table(filter=condition)
    return in_memory(spark, rows, spark_schema(table))


@contextmanager
def sound(uri: str) -> Iterator[None]:
    """Raise LatticeError where a file of a table, read without Spark, is missing or damaged."""
    try:
        yield
    except PermissionError:  # the file may be sound: jobs.spark_errors has the remedy
        raise
    except (pa.ArrowInvalid, OSError) as error:
        said = str(error).splitlines()[0].rstrip(".")
        named = re.search(r"'([^']+\.parquet)'", said)
        raise LatticeError(
            posixpath.join(uri, named[1]) if named else uri,
            f"A file of the table cannot be read: {said}.",
            "Restore the file; or delete the table's folder and build again.",
        ) from error


def _dataset(table: Published, paths: Sequence[str]) -> ds.Dataset:
    """Some local files of a table."""
    schema = pa.schema(at_version(table.uri, table.version).schema().to_arrow())
    form = ds.ParquetFileFormat(read_options=ds.ParquetReadOptions(coerce_int96_timestamp_unit="us"))
    if not paths:
        return ds.dataset(schema.empty_table())
    return ds.dataset([path_of(path) for path in paths], schema=schema, format=form)


def _within(span: Span, column: str) -> pc.Expression:
    found = pc.field(column).is_valid()
    if span.start is not None:
        found &= pc.field(column) >= pa.scalar(span.start, pa.timestamp("us", "UTC"))
    if span.end is not None:
        found &= pc.field(column) < pa.scalar(span.end, pa.timestamp("us", "UTC"))
    return found
