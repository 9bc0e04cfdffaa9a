"""Of files of text the first and the last bytes, cut between records."""

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa

HEAD, TAIL = 16 << 20, 1 << 20
"""So many bytes are read of all files of a table."""


def read_ends(
    path: Path, head: int, tail: int, last_end: Callable[[bytes], int], first_start: Callable[[bytes], int]
) -> tuple[list[bytes], bool]:
    """The records in the first and the last bytes of one file, in one block or two, and whether these are all.

    Args:
        path: may be compressed, as its name says; then it has no last bytes.
        head: how many bytes from its beginning.
        tail: how many up to its end.
        last_end: says where in a block its last whole record ends.
        first_start: says where in a block its first whole record starts.
    """
    with pa.input_stream(str(path)) as stream:
        start = stream.read(head + 1)
    if len(start) <= head:
        return [start], True
    start = start[: last_end(start)]
    if path.suffix in (".gz", ".bz2"):
        return [start], False
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(size - tail, len(start)))
        end = file.read()
    # What lies behind the head starts with a whole record; what lies further back, probably within one.
    first = 0 if size - tail <= len(start) else first_start(end)
    return [start, end[first:]], False
