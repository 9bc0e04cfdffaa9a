"""The one package that reads and writes Delta tables; ``publishing`` says how a version becomes one that is read."""

from pipelines.tables.few import Filter, among, count_between, holding, read_few, read_rows, value_counts
from pipelines.tables.listing import (
    byte_size,
    columns_of,
    current_files,
    delta_files,
    exists,
    file_names,
    files,
    latest_version,
)
from pipelines.tables.publishing import publish, publish_without, restamp, restore
from pipelines.tables.reading import leading, read, read_delta, read_files
from pipelines.tables.upkeep import compact, take_out, vacuum, write_checkpoint
from pipelines.tables.uris import is_local, join_uri
from pipelines.tables.versions import Published, published, published_at, removed, require
from pipelines.tables.writing import replace_where, write

__all__ = [
    "Filter",
    "Published",
    "among",
    "byte_size",
    "columns_of",
    "compact",
    "count_between",
    "current_files",
    "delta_files",
    "exists",
    "file_names",
    "files",
    "holding",
    "is_local",
    "join_uri",
    "latest_version",
    "leading",
    "publish",
    "publish_without",
    "published",
    "published_at",
    "read",
    "read_delta",
    "read_few",
    "read_files",
    "read_rows",
    "removed",
    "replace_where",
    "require",
    "restamp",
    "restore",
    "take_out",
    "vacuum",
    "value_counts",
    "write",
    "write_checkpoint",
]
