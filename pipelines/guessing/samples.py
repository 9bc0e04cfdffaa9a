"""A bounded part of each table that a user names: of CSV both ends, of Parquet and Delta rows from all over."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Literal, TypeVar

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.dataset as pa_dataset

from pipelines.guessing.names import plain
from pipelines.tables import delta_files
from schemas.errors import LatticeError

Format = Literal["csv", "parquet", "delta"]

ROWS = 100_000
"""Of a Parquet or Delta table."""
HEAD, TAIL = 16 << 20, 1 << 20
"""Bytes of the CSV files of a table."""
PIECES = 100
"""So many files, and row groups, are looked into."""

_CSV = (".csv", ".csv.gz")
_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Rows of one table; those of CSV are text."""

    name: str
    path: Path
    format: Format
    rows: pa.Table
    whole: bool
    nanoseconds: frozenset[str] = frozenset()
    """Parquet columns of a type that Spark cannot read."""

    @property
    def extent(self) -> str:
        if self.whole:
            return f"all its {self.rows.num_rows:,} rows"
        where = "its beginning and end" if self.format == "csv" else "all over it"
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
    nanoseconds: frozenset[str] = frozenset()
    try:
        if kind == "csv":
            rows, whole = _read_csv(path)
        else:
            dataset = _dataset(path, kind)
            rows, whole = _read_parquet(dataset)
            nanoseconds = _nanoseconds(dataset) if kind == "parquet" else nanoseconds
    except (OSError, pa.ArrowException) as error:
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise LatticeError(
            str(path), f"It cannot be read as {kind}: {said}", "Write it again, or leave it out."
        ) from error
    if rows.num_rows == 0:
        raise LatticeError(str(path), "The table is empty.", "Give a table with at least one row.")
    return Sample(name=name, path=path, format=kind, rows=rows, whole=whole, nanoseconds=nanoseconds)


def _format(path: Path) -> Format:
    if (path / "_delta_log").is_dir():
        return "delta"
    inside = (file for file in path.rglob("*") if not file.name.startswith((".", "_"))) if path.is_dir() else (path,)
    for file in sorted(inside):
        if file.name.endswith(".parquet"):
            return "parquet"
        if file.name.endswith(_CSV):
            return "csv"
    raise LatticeError(
        str(path),
        "It is not a table that can be read.",
        "Give CSV (.csv, .csv.gz) or Parquet (.parquet), a file or a folder of files, or a folder of a Delta table.",
    )


def _read_csv(path: Path) -> tuple[pa.Table, bool]:
    every = sorted(file for file in path.rglob("*") if file.name.endswith(_CSV)) if path.is_dir() else [path]
    files = _spread(every)
    parts = [_read_ends(file, HEAD // len(files), TAIL // len(files)) for file in files]
    same = [rows for rows, _ in parts if rows.schema == parts[0][0].schema]
    if len(same) < len(parts):
        raise pa.ArrowInvalid("the CSV files of this folder have different headers")
    return pa.concat_tables(same), len(files) == len(every) and all(whole for _, whole in parts)


def _read_ends(path: Path, head: int, tail: int) -> tuple[pa.Table, bool]:
    """The rows in the first and the last bytes of one file, and whether these are all."""
    with pa.input_stream(str(path)) as stream:
        start = stream.read(head + 1)
    header = start.partition(b"\n")[0].decode("utf-8-sig", "replace").rstrip("\r")
    names = next(csv.reader([header]), [])
    _check_header(path, names)
    if len(start) <= head:
        return _parse(start, names, skip=1), True
    start = start[: _last_end(start)]
    rows = _parse(start, names, skip=1)
    if path.suffix == ".gz":
        return rows, False
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(size - tail, len(start)))
        end = file.read()
    # What lies behind the head starts with a whole record; what lies further back, probably within one.
    first = 0 if size - tail <= len(start) else _first_start(end)
    return pa.concat_tables([rows, _parse(end[first:], names, skip=0)]), False


def _check_header(path: Path, names: Sequence[str]) -> None:
    if len(names) == 1 and any(mark in names[0] for mark in ";\t|"):
        raise LatticeError(
            str(path), f"The first line has no commas: {names[0][:60]!r}.", "Write the CSV with commas and a header."
        )
    for number, name in enumerate(names):
        if name in names[:number]:
            raise LatticeError(str(path), f"Two columns are called '{name}'.", "Give each column its own name.")


def _parse(block: bytes, names: Sequence[str], skip: int) -> pa.Table:
    if not block.strip() or (skip and not block.partition(b"\n")[2].strip()):
        return pa.table({name: pa.array([], pa.string()) for name in names})
    return pa_csv.read_csv(
        BytesIO(block),
        read_options=pa_csv.ReadOptions(column_names=names, skip_rows=skip, use_threads=False),
        parse_options=pa_csv.ParseOptions(newlines_in_values=True),
        convert_options=pa_csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()), null_values=[""], strings_can_be_null=True
        ),
    )


def _last_end(block: bytes) -> int:
    """Just behind the last end of a record: a line break outside quotes, of which an even number lies before it."""
    end = block.rfind(b"\n")
    while end >= 0 and block.count(b'"', 0, end) % 2:
        end = block.rfind(b"\n", 0, end)
    return end + 1


def _first_start(block: bytes) -> int:
    """Just behind the first line break outside quotes, of which an even number lies behind it."""
    end = block.find(b"\n")
    while end >= 0 and block.count(b'"', end) % 2:
        end = block.find(b"\n", end + 1)
    return end + 1 if end >= 0 else len(block)


def _dataset(path: Path, kind: Format) -> pa_dataset.Dataset:
    source = delta_files(str(path)) if kind == "delta" else str(path)
    base = str(path.absolute()) if kind == "delta" else None
    return pa_dataset.dataset(source, format="parquet", partitioning="hive", partition_base_dir=base)


def _read_parquet(dataset: pa_dataset.Dataset) -> tuple[pa.Table, bool]:
    every = list(dataset.get_fragments())
    files = _spread(every)
    groups = [group for file in files for group in file.split_by_row_group()]
    pieces = _spread(groups)
    whole = len(files) == len(every) and sum(group.row_groups[0].num_rows for group in groups) <= ROWS
    if not pieces or whole:
        return dataset.to_table(use_threads=False), True
    share = ROWS // len(pieces)
    heads = [piece.scanner(schema=dataset.schema, batch_size=share).head(share) for piece in pieces]
    return pa.concat_tables(heads), False


def _nanoseconds(dataset: pa_dataset.Dataset) -> frozenset[str]:
    """The columns of 64-bit nanoseconds; Spark reads the older ones of 96 bits."""
    schema = next(dataset.get_fragments()).metadata.schema
    columns = (schema.column(number) for number in range(len(schema)))
    fine = {field.name for field in dataset.schema if pa.types.is_timestamp(field.type) and field.type.unit == "ns"}
    return frozenset(column.path for column in columns if column.path in fine and column.physical_type == "INT64")


def _spread(parts: Sequence[_T]) -> Sequence[_T]:
    """At most ``PIECES`` of them, evenly spaced from the first to the last."""
    if len(parts) <= PIECES:
        return parts
    return [parts[number * (len(parts) - 1) // (PIECES - 1)] for number in range(PIECES)]
