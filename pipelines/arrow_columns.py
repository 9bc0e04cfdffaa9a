"""Columns of the Arrow tables that workers are handed, as NumPy arrays, and back.

Shapes: R rows.
"""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipelines.timelines import Longs


def longs(table: pa.Table, column: str) -> Longs:
    """A column of integers, (R)."""
    return np.asarray(table[column].to_numpy(), dtype=np.int64)


def keys_of(table: pa.Table, column: str) -> tuple[Longs, NDArray[np.bool_]]:
    """Keys, 0 where there is none, and where that is."""
    return longs(table.select([column]).set_column(0, column, pc.fill_null(table[column], 0)), column), np.asarray(
        pc.is_null(table[column]).to_numpy(), dtype=bool
    )


def matrix(table: pa.Table, column: str, width: int, kind: type) -> NDArray[Any]:
    """(rows, width): a column of lists of one length."""
    parts = [chunk.flatten().to_numpy(zero_copy_only=False) for chunk in table[column].chunks]
    flat = np.concatenate(parts) if parts else np.zeros(0, kind)
    return flat.astype(kind, copy=False).reshape(table.num_rows, width)


def unpacked(table: pa.Table, column: str, width: int) -> NDArray[np.float32]:
    """What ``packed`` made of rows of ``width`` numbers: (R, width)."""
    found: NDArray[np.float32] = np.concatenate(
        [np.empty(0, np.float32), *(_floats(chunk) for chunk in table[column].chunks if len(chunk))]
    )
    return found.reshape(table.num_rows, width)


def _floats(packed: pa.Array) -> NDArray[np.float32]:
    """The numbers of all binaries, one after the other."""
    _, offsets, data = packed.buffers()
    ends = np.frombuffer(offsets, np.int32)[packed.offset : packed.offset + len(packed) + 1]
    return np.frombuffer(data, "<f4", count=(ends[-1] - ends[0]) // 4, offset=ends[0])


def packed(values: NDArray[Any], ends: Longs) -> pa.Array:
    """Binaries, one a row: its values one after the other, little-endian (int64 or float32)."""
    data = values.astype("<i8" if values.dtype.kind == "i" else "<f4", copy=False)
    buffers = [None, pa.py_buffer(ends.astype(np.int64) * data.itemsize), pa.py_buffer(np.ascontiguousarray(data))]
    # The cast refuses more than the offsets of a plain binary can count, which are of 32 bits.
    return pa.Array.from_buffers(pa.large_binary(), ends.size - 1, buffers).cast(pa.binary())
