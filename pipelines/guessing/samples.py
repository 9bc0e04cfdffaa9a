"""A bounded part of each table that a user names: of text both ends, of Parquet and Delta rows from all over."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from pipelines.guessing import csv_rows, json_rows, parquet_rows
from pipelines.guessing.names import plain
from schemas.errors import LatticeError
from schemas.space import TableFormat


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Rows of one table; those of CSV are text."""

    name: str
    path: Path
    format: TableFormat
    rows: pa.Table
    whole: bool
    nanoseconds: frozenset[str] = frozenset()
    """Parquet columns of a type that Spark cannot read."""
    separator: str = ","
    """Of CSV: what stands between two fields."""

    @property
    def extent(self) -> str:
        if self.whole:
            return f"all its {self.rows.num_rows:,} rows"
        where = "its beginning and end" if self.format in ("csv", "json") else "all over it"
        return f"{self.rows.num_rows:,} rows from {where}"


def read_samples(paths: Sequence[Path]) -> tuple[Sample, ...]:
    """One sample a path.

    Raises:
        LatticeError: a file is missing, empty or unreadable, or two tables have one name.
    """
    named: dict[str, Path] = {}
    for path in paths:
        name = plain(path.resolve().name.removesuffix(".gz").rsplit(".", 1)[0])
        if name in named:
            raise LatticeError(
                str(path),
                f"The table would be called '{name}', as {named[name]} is.",
                "Name each table once, and rename one of two files of the same name.",
            )
        named[name] = path
    return tuple(read_sample(name, path) for name, path in named.items())


def read_sample(name: str, path: Path) -> Sample:
    """The sample of the table at a path."""
    if not path.exists():
        raise LatticeError(str(path), "There is no such file or folder.", "Give the path of a table that is here.")
    kind = _format(path)
    nanoseconds, separator = frozenset[str](), ","
    try:
        if kind == "csv":
            rows, whole, separator = csv_rows.read_csv(path)
        elif kind == "json":
            rows, whole = json_rows.read_json(path)
        else:
            dataset = parquet_rows.open_parquet(path, delta=kind == "delta")
            rows, whole = parquet_rows.read_parquet(dataset)
            nanoseconds = parquet_rows.nanoseconds(dataset) if kind == "parquet" else nanoseconds
    except (OSError, pa.ArrowException) as error:
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise LatticeError(
            str(path), f"It cannot be read as {kind}: {said}", "Write it again, or leave it out."
        ) from error
    if rows.num_rows == 0:
        raise LatticeError(str(path), "The table is empty.", "Give a table with at least one row.")
    return Sample(
        name=name, path=path, format=kind, rows=rows, whole=whole, nanoseconds=nanoseconds, separator=separator
    )


def _format(path: Path) -> TableFormat:
    if (path / "_delta_log").is_dir():
        return "delta"
    inside = (file for file in path.rglob("*") if not file.name.startswith((".", "_"))) if path.is_dir() else (path,)
    for file in sorted(inside):
        if file.name.endswith(".parquet"):
            return "parquet"
        if file.name.endswith(csv_rows.ENDINGS):
            return "csv"
        if file.name.endswith(json_rows.ENDINGS):
            return "json"
    raise LatticeError(
        str(path),
        "It is not a table that can be read.",
        "Give CSV (.csv, .tsv), JSON lines (.json, .jsonl, .ndjson), each perhaps with .gz, or Parquet (.parquet), a "
        "file or a folder of files, or a folder of a Delta table.",
    )
