"""Columns of Arrow as NumPy arrays, without a Python object a value."""

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from schemas.errors import LatticeError

Array = NDArray[Any]


def to_array(column: pa.Array | pa.ChunkedArray) -> Array:
    """Its R values: numbers with NaN for null; strings, with ``None`` for null, in NumPy's own type; binary values of
    one width W as ``V<W>``, which are not copied.
    """
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if pa.types.is_binary(array.type) and len(array) and not array.null_count:
        _, offsets, data = array.buffers()
        ends = np.frombuffer(offsets, np.int32, len(array) + 1, 4 * array.offset)
        width = int(ends[1]) - int(ends[0])
        if width and (np.diff(ends) == width).all():
            return np.frombuffer(data, f"V{width}", len(array), int(ends[0]))
    found: Array = array.to_numpy(zero_copy_only=False)
    return found.astype(np.str_) if pa.types.is_string(array.type) else found


def unpack(name: str, values: Array, dtype: str, length: int, remedy: str) -> Array:
    """The packed sequences of column ``name``: (R, ``length``).

    Raises:
        LatticeError: one is null or of another length; with the remedy.
    """
    width = length * np.dtype(dtype).itemsize
    if not len(values):
        return np.empty((0, length), dtype)
    if values.dtype != np.dtype(f"V{width}"):
        raise LatticeError(f"column '{name}'", f"A row does not hold {length} values ({width} bytes).", remedy)
    return np.ascontiguousarray(values).view(dtype).reshape(len(values), length)
