"""Opens raw files with Spark, and turns what goes wrong there into a LatticeError that names the file."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal
from urllib.parse import urlparse

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.pandas.types import to_arrow_schema

from pipelines.session import in_memory
from pipelines.spans import Span
from pipelines.tables import read_delta
from pipelines.warehouse import local_path
from schemas.errors import LatticeError

Format = Literal["csv", "parquet", "delta"]

# A data file as Spark's messages name it.
_FILE = re.compile(r"\b(?:file|hdfs|s3a?|gs|abfss?):/+[^\s,'\"]+\.\w+")

# What Spark's message says, the problem, the remedy. The first one that fits counts.
_EXPLANATIONS = (
    (r"PATH_NOT_FOUND", "There is no such file or folder.", "Mend the path in the space file."),
    (r"DELTA_\w*NOT_FOUND", "There is no Delta table here.", "Mend the path or the format in the space file."),
    (r"Cannot time travel", "The table has no such version.", "Give a version that the table still has."),
    (r"UNABLE_TO_INFER_SCHEMA", "There is no data file in this folder.", "Mend the path, or put the files there."),
    (
        r"PARQUET_TYPE_ILLEGAL",
        "A column has a Parquet type that Spark cannot read, such as a timestamp in nanoseconds.",
        "Write timestamps in microseconds (pandas: to_parquet(..., coerce_timestamps='us')).",
    ),
    (
        r"is not a Parquet file|CANNOT_READ_FILE_FOOTER",
        "The file cannot be read as Parquet: it is cut short, or something else.",
        "Write the file again, or take it out of the folder.",
    ),
    (
        r"MALFORMED_CSV_RECORD",
        "A row of the CSV has more or fewer fields than the header.",
        "Mend that row; quote fields that hold a comma.",
    ),
    (
        r"CSV header",
        "The CSV files of this folder have different headers.",
        "Give all of them the same columns in the same order.",
    ),
)


def resolve(path: str, folder: Path) -> str:
    """``path`` as Spark wants it: a URI as it is, a relative path from ``folder``."""
    return path if len(urlparse(path).scheme) > 1 else str((folder / path).absolute())


def open_table(spark: SparkSession, path: str, kind: Format, version: int | None = None) -> DataFrame:
    """The rows at ``path``, lazy: Delta and Parquet with their own types, CSV (with a header) as strings.

    Raises:
        LatticeError: nothing is there, or it is not a readable table of that kind.
    """
    with explained(path):
        if kind == "delta":
            return read_delta(spark, path, version)
        if kind == "parquet":
            return spark.read.parquet(path)
        # Quotes are doubled inside quotes (RFC 4180). Every file's header must agree with the first one's, and every
        # row with the header, whichever columns are read.
        reader = spark.read.option("columnPruning", "false")
        return reader.csv(path, header=True, escape='"', mode="FAILFAST", enforceSchema=False)


def read_at_once(frame: DataFrame, path: str, condition: Callable[[pa.Schema], pc.Expression]) -> DataFrame:
    """Of a local Parquet file, opened as ``frame``, the rows for which a condition holds; they must fit in memory.

    It takes no Spark job, and whatever is made of the rows finds them in memory.
    """
    dataset = ds.dataset(str(local_path(path)), format="parquet")
    rows = dataset.to_table(columns=frame.columns, filter=condition(dataset.schema))
    return in_memory(frame.sparkSession, rows.cast(to_arrow_schema(frame.schema), safe=False), frame.schema)


def between(span: Span, column: str, schema: pa.Schema) -> pc.Expression:
    """Whether a column of UTC timestamps, with a zone or without, lies in a span, for ``read_at_once``."""
    kind, found = schema.field(column).type, pc.field(column).is_valid()
    if span.start is not None:
        found &= pc.field(column) >= pa.scalar(span.start.replace(tzinfo=None), pa.timestamp("us")).cast(kind)
    if span.end is not None:
        found &= pc.field(column) < pa.scalar(span.end.replace(tzinfo=None), pa.timestamp("us")).cast(kind)
    return found


@contextmanager
def explained(path: str) -> Iterator[None]:
    """Within it, what Spark raises while it reads ``path`` becomes a LatticeError."""
    try:
        yield
    except (PySparkException, Py4JJavaError) as error:
        message = str(error)
        named = _FILE.search(message)
        place = named[0] if named else path
        for pattern, problem, remedy in _EXPLANATIONS:
            if re.search(pattern, message):
                raise LatticeError(place, problem, remedy) from error
        cause = [line for line in message.splitlines() if line.startswith("Caused by: ")] or message.splitlines()[:1]
        raise LatticeError(
            place, f"Spark cannot read it: {cause[-1]}", "Mend the file, or its entry in the space file."
        ) from error
