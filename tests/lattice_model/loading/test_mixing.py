"""Batches cut out of chunks."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lattice_model.loading.mixing import Held, Mixer, Part, Share

SIZES = st.lists(st.integers(0, 30), max_size=8)
SEEDS = st.none() | st.integers(0, 5)


def mixer(sizes: list[int], batch_size: int, held: int, seed: int | None) -> Mixer:
    return Mixer(sizes, batch_size, held, None if seed is None else np.random.default_rng(seed))


def rows(mixed: Mixer, sizes: list[int], parts: list[Part]) -> list[int]:
    """The rows of a batch, counted over all chunks."""
    starts = np.cumsum([0, *sizes])
    return [int(starts[part.chunk] + row) for part in parts for row in mixed.orders[part.chunk][part.start : part.stop]]


@given(SIZES, st.integers(1, 40), st.integers(0, 60), SEEDS)
def test_every_row_comes_once_in_exact_batches(sizes: list[int], batch_size: int, held: int, seed: int | None) -> None:
    mixed = mixer(sizes, batch_size, held, seed)
    batches = [rows(mixed, sizes, parts) for parts in mixed]
    found = [row for batch in batches for row in batch]
    assert sorted(found) == list(range(sum(sizes)))
    assert all(len(batch) == batch_size for batch in batches[:-1])
    assert batches == [] or 1 <= len(batches[-1]) <= batch_size
    if seed is None:
        assert found == sorted(found)


@given(SIZES, st.integers(1, 40), st.integers(0, 60), SEEDS, st.integers(0, 30))
def test_skipping_leads_to_the_same_batches_and_needs_only_their_chunks(
    sizes: list[int], batch_size: int, held: int, seed: int | None, skipped: int
) -> None:
    whole, rest = mixer(sizes, batch_size, held, seed), mixer(sizes, batch_size, held, seed).skip(skipped)
    needed = rest.to_come()
    expected = [rows(whole, sizes, parts) for parts in whole][skipped:]
    parts = list(rest)
    assert [rows(rest, sizes, batch) for batch in parts] == expected
    assert set(needed) == {part.chunk for batch in parts for part in batch} == set(rest.orders)
    assert len(needed) == len(set(needed))


def test_a_batch_is_drawn_from_all_that_is_held() -> None:
    """Of two chunks as large as each other, each gives half on average, with the spread of a draw without return."""
    shares = []
    for seed in range(400):
        shares.append(sum(stop - start for chunk, start, stop in next(mixer([100, 100], 50, 200, seed)) if chunk == 0))
    assert np.mean(shares) == pytest.approx(25, abs=0.5)
    assert np.var(shares) == pytest.approx(50 * 0.25 * (150 / 199), rel=0.25)


def test_chunks_and_their_rows_are_in_random_order() -> None:
    mixed = mixer([10] * 20, 5, 0, 0)
    batches = list(mixed)
    assert list(mixed.orders) != sorted(mixed.orders)
    assert all(sorted(order) == list(range(10)) for order in mixed.orders.values())
    assert len({tuple(order) for order in mixed.orders.values()}) == 20
    assert len(batches) == 40


def test_chunks_are_opened_only_when_room_is_left() -> None:
    mixed = mixer([10] * 20, 5, 30, 0)
    next(mixed)
    assert len(mixed.orders) == 3
    next(mixed)
    assert len(mixed.orders) == 4


@given(SIZES, st.integers(1, 40), st.integers(0, 60), SEEDS, st.integers(1, 12))
def test_rows_that_were_taken_are_let_go_block_by_block(
    sizes: list[int], batch_size: int, held: int, seed: int | None, block: int
) -> None:
    mixed, memory, left = mixer(sizes, batch_size, held, seed), Held(block), dict[int, int]()
    for parts in mixed:
        for chunk in [part.chunk for part in parts if part.chunk not in memory]:
            order = mixed.orders[chunk]
            cuts = [order[start : start + block] for start in range(0, len(order), block)]
            memory.put(chunk, [{"row": cut, "twice": 2 * cut} for cut in cuts])
            left[chunk] = sizes[chunk]
        for part in parts:
            taken = list(memory.take(part))
            rows = [row for rows in taken for row in rows["row"].tolist()]
            assert rows == mixed.orders[part.chunk][part.start : part.stop].tolist()
            assert [row for rows in taken for row in rows["twice"].tolist()] == [2 * row for row in rows]
            left[part.chunk] -= part.stop - part.start
        opened = sum(1 for rows in left.values() if rows)
        assert sum(left.values()) <= memory.rows <= sum(left.values()) + opened * (block - 1)
    assert memory.rows == 0


@given(st.integers(0, 9), st.lists(st.integers(0, 30), min_size=1, max_size=6), st.integers(1, 5))
def test_shares_deal_out_the_rows_of_every_part(chunk: int, cuts: list[int], ranks: int) -> None:
    """Each row to one process, of each part as many to each but for one."""
    stops = sorted(cuts)
    rows = np.arange(stops[-1])
    for start, stop in zip([0, *stops], stops, strict=False):
        parts = [Share(rank, ranks).of(Part(chunk, start, stop)) for rank in range(ranks)]
        found = [Share(rank, ranks).among(chunk, rows)[part.start : part.stop] for rank, part in enumerate(parts)]
        assert sorted(np.concatenate(found).tolist()) == list(range(start, stop))
        assert max(map(len, found)) - min(map(len, found)) <= 1
    assert Share().of(Part(chunk, 3, 7)) == Part(chunk, 3, 7)
