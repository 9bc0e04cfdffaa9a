"""Columns of Arrow as NumPy arrays."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lattice_model.loading.columns import to_array, unpack
from schemas.errors import LatticeError

ROWS = st.lists(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=3, max_size=3), min_size=1, max_size=9)


def packed(rows: list[list[int]]) -> pa.Array:
    return pa.array([np.array(row, "<i8").tobytes() for row in rows], pa.binary())


@given(ROWS, st.data())
def test_packed_sequences_from_any_slice_and_any_chunks(rows: list[list[int]], data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(rows) - 1))
    stop = data.draw(st.integers(start + 1, len(rows)))
    column = pa.chunked_array([packed(rows[:start]), packed(rows[start:])]).slice(start, stop - start)
    assert unpack("events", to_array(column), "<i8", 3, "").tolist() == rows[start:stop]
    assert (
        unpack("events", to_array(packed(rows).slice(start, stop - start)), "<i8", 3, "").tolist() == rows[start:stop]
    )
    backwards = to_array(column)[::-1]
    assert unpack("events", backwards, "<i8", 3, "").tolist() == rows[start:stop][::-1]


@pytest.mark.parametrize(
    "values",
    [[b"12345678", None], [b"12345678", b"1234567"], [b"1234567", b"123456789"], [b"", b""], [b"1234"], [None]],
)
def test_a_sequence_that_is_null_or_of_another_length(values: list[bytes | None]) -> None:
    with pytest.raises(LatticeError, match=r"(?s)'events'.*does not hold 2 values \(8 bytes\).*Build it\."):
        unpack("events", to_array(pa.array(values, pa.binary())), "<f4", 2, "Build it.")


def test_no_rows() -> None:
    assert unpack("events", to_array(pa.array([], pa.binary())), "<f4", 2, "").shape == (0, 2)
    assert to_array(pa.chunked_array([], pa.int64())).tolist() == []


def test_a_null_number_is_not_a_number() -> None:
    np.testing.assert_array_equal(to_array(pa.array([1.5, None], pa.float32())), np.array([1.5, np.nan], np.float32))
    assert to_array(pa.array([1, None], pa.int64())).dtype == np.float64


def test_strings_are_numpys_own() -> None:
    """So that parts of a column join, whichever of them have values."""
    parts = [to_array(pa.array(values, pa.string())) for values in (["anna"], [None], [], ["b", "benedict"])]
    assert np.concatenate(parts).tolist() == ["anna", "None", "b", "benedict"]
    assert {part.dtype.kind for part in parts} == {"U"}
