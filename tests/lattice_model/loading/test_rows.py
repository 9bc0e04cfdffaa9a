"""Folding of hashes to rows of an embedding table."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lattice_model.loading.rows import fold

INT64 = st.integers(-(2**63), 2**63 - 1)


@given(st.lists(INT64, max_size=20), st.integers(2, 2**40))
def test_a_fold_is_one_plus_the_floored_remainder(hashes: list[int], size: int) -> None:
    folded = fold(np.array(hashes, dtype=np.int64), size)
    assert folded.tolist() == [0 if value == 0 else 1 + value % (size - 1) for value in hashes]
    assert all(0 <= row < size for row in folded)


def test_known_folds() -> None:
    assert fold(np.array([0, 1, 9, 10, -1, 2**63 - 1, -(2**63)]), 10).tolist() == [0, 2, 1, 2, 9, 8, 2]
