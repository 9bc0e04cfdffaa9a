"""Batches cut out of chunks."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lattice_model.loading.mixing import mix
from lattice_model.loading.rows import Arrays


def chunks(sizes: list[int]) -> list[Arrays]:
    ends = np.cumsum(sizes)
    return [{"row": np.arange(end - size, end)} for end, size in zip(ends, sizes, strict=True)]


@given(st.lists(st.integers(0, 30), max_size=8), st.integers(1, 40), st.integers(0, 60), st.none() | st.integers(0, 5))
def test_every_row_comes_once_in_exact_batches(sizes: list[int], batch_size: int, held: int, seed: int | None) -> None:
    rng = None if seed is None else np.random.default_rng(seed)
    batches = [batch["row"].tolist() for batch in mix(chunks(sizes), batch_size, held, rng)]
    rows = [row for batch in batches for row in batch]
    assert sorted(rows) == list(range(sum(sizes)))
    assert all(len(batch) == batch_size for batch in batches[:-1])
    assert batches == [] or 1 <= len(batches[-1]) <= batch_size
    if rng is None:
        assert rows == sorted(rows)


def test_a_batch_is_drawn_from_all_that_is_held() -> None:
    """Of two chunks as large as each other, each gives half on average, with the spread of a draw without return."""
    shares = []
    for seed in range(400):
        first = next(mix(chunks([100, 100]), 50, 200, np.random.default_rng(seed)))
        shares.append(int((first["row"] < 100).sum()))
    assert np.mean(shares) == pytest.approx(25, abs=0.5)
    assert np.var(shares) == pytest.approx(50 * 0.25 * (150 / 199), rel=0.25)


def test_chunks_are_read_only_when_room_is_left() -> None:
    read = []

    def source() -> Iterator[Arrays]:
        for number, chunk in enumerate(chunks([10] * 20)):
            read.append(number)
            yield chunk

    batches = mix(source(), 5, 30, np.random.default_rng(0))
    next(batches)
    assert len(read) == 3
    next(batches)
    assert len(read) == 4
