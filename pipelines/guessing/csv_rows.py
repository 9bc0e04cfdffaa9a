"""Of CSV files the first and the last bytes, cut between records; every value stays text."""

import csv
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pa_csv

from pipelines.guessing.spreading import spread
from schemas.errors import LatticeError

HEAD, TAIL = 16 << 20, 1 << 20
"""Bytes of all files of a table."""
ENDINGS = (".csv", ".csv.gz")


def read_csv(path: Path) -> tuple[pa.Table, bool]:
    """Rows of a file or of a folder of files, and whether these are all."""
    every = sorted(file for file in path.rglob("*") if file.name.endswith(ENDINGS)) if path.is_dir() else [path]
    files = spread(every)
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
