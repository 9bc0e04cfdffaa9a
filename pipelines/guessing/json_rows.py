"""Of files of JSON lines the first and the last bytes, cut between lines."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipelines.guessing.ends import HEAD, TAIL, read_ends
from pipelines.guessing.spreading import spread

ENDINGS = tuple(f".{kind}{packed}" for kind in ("json", "jsonl", "ndjson") for packed in ("", ".gz"))


def read_json(path: Path) -> tuple[pa.Table, bool]:
    """Rows of a file or of a folder of files, and whether these are all; a column for each key of any object."""
    every = sorted(file for file in path.rglob("*") if file.name.endswith(ENDINGS)) if path.is_dir() else [path]
    files = spread(every)
    rows, whole = list[dict[str, Any]](), len(files) == len(every)
    for file in files:
        blocks, all_of_it = read_ends(file, HEAD // len(files), TAIL // len(files), _last_end, _first_start)
        rows += [_object(line) for block in blocks for line in block.splitlines() if line.strip()]
        whole &= all_of_it
    names = dict.fromkeys(name for row in rows for name in row)
    return pa.table({name: _column([row.get(name) for row in rows]) for name in names}), whole


def _object(line: bytes) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise pa.ArrowInvalid(f"a line is not a whole JSON object: {line[:60].decode('utf-8', 'replace')!r}")
    return found


def _column(values: list[Any]) -> pa.Array:
    """The values; as text where their types differ, as Spark takes them."""
    try:
        return pa.array(values)
    except pa.ArrowException:
        return pa.array([value if value is None or isinstance(value, str) else json.dumps(value) for value in values])


def _last_end(block: bytes) -> int:
    return block.rfind(b"\n") + 1


def _first_start(block: bytes) -> int:
    return block.find(b"\n") + 1 or len(block)
