"""Reading ahead: order, bound, errors, an end without threads left behind."""

import threading
import time
from collections.abc import Generator

import pytest

from lattice_model.loading.prefetch import prefetch


def numbers(end: int, made: list[int], closed: list[bool]) -> Generator[int]:
    try:
        for number in range(end):
            made.append(number)
            yield number
    finally:
        closed.append(True)


def test_items_come_in_order() -> None:
    closed: list[bool] = []
    assert list(prefetch(numbers(100, [], closed), 3)) == list(range(100))
    assert closed == [True]


def test_no_more_than_the_bound_is_made_ahead() -> None:
    made: list[int] = []
    items = prefetch(numbers(100, made, []), 3)
    assert next(items) == 0
    time.sleep(0.1)
    assert len(made) <= 1 + 3 + 1  # taken, queued, and one that waits for room


def test_an_early_end_closes_the_generator_and_its_thread() -> None:
    before = threading.active_count()
    closed: list[bool] = []
    items = prefetch(numbers(100, [], closed), 3)
    next(items)
    items.close()
    assert closed == [True]
    assert threading.active_count() == before


def test_an_error_reaches_the_consumer_after_the_items_before_it() -> None:
    def failing() -> Generator[int]:
        yield 1
        raise ValueError("broken")

    items = prefetch(failing(), 3)
    assert next(items) == 1
    with pytest.raises(ValueError, match="broken"):
        next(items)
