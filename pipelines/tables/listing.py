"""What Delta's log says of a table: its files, their size, its columns."""

from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from pipelines.tables.versions import Published, at_version, published


def files(table: Published) -> list[str]:
    """The Parquet files of exactly that version (Petastorm must never read the folder, which holds removed ones)."""
    return sorted(at_version(table.uri, table.version).file_uris())


def delta_files(uri: str) -> list[str]:
    """The Parquet files of the latest version of any Delta table.

    Raises:
        OSError: there is no such table, or its log cannot be read.
    """
    try:
        return sorted(DeltaTable(uri).file_uris())
    except DeltaError as error:
        raise OSError(str(error)) from error


def file_names(uri: str, version: int) -> set[str] | None:
    """The names of the Parquet files of a version; None if the table's log does not tell of it any more."""
    try:
        return {path.rsplit("/", 1)[-1] for path in at_version(uri, version).file_uris()}
    except DeltaError:
        return None


def current_files(uri: str) -> list[str]:
    """The Parquet files of the version that readers take: the published one, or the latest where none is published."""
    table = published(uri)
    return delta_files(uri) if table is None else files(table)


def byte_size(table: Published) -> int:
    """How many bytes the files of exactly that version hold."""
    return sum(at_version(table.uri, table.version).get_add_actions()["size_bytes"].to_pylist())


def exists(uri: str) -> bool:
    """Whether there is a Delta table, published or not."""
    return DeltaTable.is_deltatable(uri)


def latest_version(uri: str) -> int | None:
    """The version of a Delta table that it is now at; None if there is no table."""
    return DeltaTable(uri).version() if exists(uri) else None


def columns_of(uri: str) -> list[str]:
    """The columns of a Delta table, as it is now."""
    return [field.name for field in DeltaTable(uri).schema().fields]
