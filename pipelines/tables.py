"""The one module that reads and writes Delta tables.

A version is published whole or not at all. ``publish`` writes a candidate version, has it checked, and only then names
it in the table's properties, in one commit; readers take the version that is named there, so a candidate that failed
its checks, or whose writer was killed, is never read. A failed candidate is undone, for readers from outside.
"""

from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlparse

from deltalake import DeltaTable
from deltalake.exceptions import TableNotFoundError
from pyspark.sql import DataFrame, SparkSession

from schemas.errors import LatticeError

_PUBLISHED, _FINGERPRINT = "lattice.published", "lattice.fingerprint"


@dataclass(frozen=True, kw_only=True)
class Published:
    """The version of a table that readers may take, and the fingerprint of what made it."""

    uri: str
    version: int
    fingerprint: str
    rows: int


def published(uri: str) -> Published | None:
    """What is published at ``uri``; None if nothing is. Needs no Spark."""
    try:
        table = DeltaTable(uri)
    except TableNotFoundError:
        return None
    properties = table.metadata().configuration
    if _PUBLISHED not in properties:
        return None
    version = int(properties[_PUBLISHED])
    rows = DeltaTable(uri, version=version).count()
    return Published(uri=uri, version=version, fingerprint=properties[_FINGERPRINT], rows=rows)


def require(uri: str, made_by: str) -> Published:
    """What is published at ``uri``.

    Raises:
        LatticeError: nothing is; ``made_by`` is the command that makes it.
    """
    found = published(uri)
    if found is None:
        raise LatticeError(uri, "No version of this table is published.", f"Run `{made_by}` first.")
    return found


def read(spark: SparkSession, table: Published) -> DataFrame:
    """The rows of a published version."""
    return read_delta(spark, table.uri, table.version)


def read_delta(spark: SparkSession, uri: str, version: int | None = None) -> DataFrame:
    """The rows of any Delta table, at its latest version or a given one."""
    reader = spark.read.format("delta")
    return (reader if version is None else reader.option("versionAsOf", version)).load(uri)


def files(table: Published) -> list[str]:
    """The Parquet files of exactly that version (Petastorm must never read the folder, which holds removed ones)."""
    return sorted(DeltaTable(table.uri, version=table.version).file_uris())


def publish(
    frame: DataFrame,
    uri: str,
    *,
    fingerprint: str,
    check: Callable[[DataFrame, Published], None],
    options: dict[str, str] | None = None,
) -> Published:
    """Write ``frame`` as the next version of the table, check what was written, and publish it.

    Args:
        frame: the whole table.
        uri: the table's folder.
        fingerprint: identifies input, code and configuration; a later run with the same one may skip the work.
        check: takes the candidate, read back; raises if it must not be published. What belongs to the version and lies
            beside the table (a manifest) is written here too.
        options: of the Parquet writer, such as ``compression``.
    """
    before = published(uri)
    writer = frame.write.format("delta").mode("overwrite").option("overwriteSchema", "true")
    writer.options(**{"compression": "zstd", "userMetadata": f"lattice {fingerprint}", **(options or {})}).save(uri)
    candidate = DeltaTable(uri)
    made = Published(uri=uri, version=candidate.version(), fingerprint=fingerprint, rows=candidate.count())
    try:
        check(read(frame.sparkSession, made), made)
    except BaseException:
        if before is not None:
            # The commit after the version is the one that named it: its rows are the same, and it has the name.
            candidate.restore(before.version + 1)
        else:
            candidate.delete()
        raise
    candidate.alter.set_table_properties(
        {_PUBLISHED: str(made.version), _FINGERPRINT: fingerprint}, raise_if_not_exists=False
    )
    return made


def join_uri(warehouse: str, *parts: str) -> str:
    """``warehouse/part/part``, for a folder or a URI."""
    return "/".join([warehouse.rstrip("/"), *parts])


def is_local(uri: str) -> bool:
    return urlparse(uri).scheme in ("", "file")
