"""Numbers that travel as binaries come back as they were."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray

from pipelines.arrow_columns import packed, unpacked

NUMBERS = arrays(np.float32, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=6))


@given(NUMBERS, st.data())
def test_what_is_packed_is_unpacked(values_RM: NDArray[np.float32], data: st.DataObject) -> None:
    """In one chunk or several, whole or cut from a larger one; NaN and the sign of zero too."""
    rows, width = values_RM.shape
    column = packed(values_RM.ravel(), np.arange(rows + 1) * width)
    assert [len(binary.as_py()) for binary in column] == [4 * width] * rows
    cut = data.draw(st.integers(0, rows))
    table = pa.table({"block": pa.chunked_array([column.slice(0, cut), column.slice(cut)])})
    np.testing.assert_array_equal(unpacked(table, "block", width).view(np.int32), values_RM.view(np.int32))


def test_none_of_them_is_a_table_of_none() -> None:
    table = pa.table({"block": pa.chunked_array([], pa.binary())})
    assert unpacked(table, "block", 7).shape == (0, 7)


def test_more_than_a_binary_column_holds_is_refused() -> None:
    """Two numbers, of which the offsets say that there are 2**30: no row is cut at a wrong place."""
    with pytest.raises(pa.ArrowInvalid, match="offset"):
        packed(np.zeros(2, np.float32), np.array([0, 2**30], np.int64))
