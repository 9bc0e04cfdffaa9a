"""Of CSV files the first and the last bytes, cut between records; every value stays text."""

import csv
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pa_csv

from pipelines.guessing.ends import HEAD, TAIL, read_ends
from pipelines.guessing.spreading import spread
from schemas.errors import LatticeError

ENDINGS = (".csv", ".csv.gz", ".tsv", ".tsv.gz")
_SEPARATORS = (",", ";", "\t", "|")


def read_csv(path: Path) -> tuple[pa.Table, bool, str]:
    """Rows of a file or of a folder of files, whether these are all, and what stands between two fields."""
    every = sorted(file for file in path.rglob("*") if file.name.endswith(ENDINGS)) if path.is_dir() else [path]
    files = spread(every)
    parts = [_read_ends(file, HEAD // len(files), TAIL // len(files)) for file in files]
    (first, _, separator), *_ = parts
    if any(rows.schema != first.schema for rows, _, _ in parts):
        raise pa.ArrowInvalid("the CSV files of this folder have different headers")
    whole = len(files) == len(every) and all(whole for _, whole, _ in parts)
    return pa.concat_tables([rows for rows, _, _ in parts]), whole, separator


def _read_ends(path: Path, head: int, tail: int) -> tuple[pa.Table, bool, str]:
    """The rows in the first and the last bytes of one file, whether these are all, and its separator."""
    blocks, whole = read_ends(path, head, tail, _last_end, _first_start)
    header = blocks[0].partition(b"\n")[0].decode("utf-8-sig", "replace").rstrip("\r")
    separator = max(_SEPARATORS, key=header.count)
    names = next(csv.reader([header], delimiter=separator), [])
    for number, name in enumerate(names):
        if name in names[:number]:
            raise LatticeError(str(path), f"Two columns are called '{name}'.", "Give each column its own name.")
    parts = [_parse(block, names, separator, skip=int(not place)) for place, block in enumerate(blocks)]
    return pa.concat_tables(parts), whole, separator


def _parse(block: bytes, names: Sequence[str], separator: str, skip: int) -> pa.Table:
    if not block.strip() or (skip and not block.partition(b"\n")[2].strip()):
        return pa.table({name: pa.array([], pa.string()) for name in names})
    return pa_csv.read_csv(
        BytesIO(block),
        read_options=pa_csv.ReadOptions(column_names=names, skip_rows=skip, use_threads=False),
        parse_options=pa_csv.ParseOptions(delimiter=separator, newlines_in_values=True),
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
