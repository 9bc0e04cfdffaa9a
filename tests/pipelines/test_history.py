"""Histories against their definition, computed row by row in Python."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.history import SCALE, Books, Ledger, Moves, measured
from pipelines.timelines import Longs
from schemas.space import History
from tests.pipelines import timelines as tl

HOUR = 3_600_000_000
PAIR = History(
    events="log", keys=("user_id", "item_id"), horizons=("1d", "2d", "all"), sums=("quantity",), gap=True
)  # fmt: skip
HORIZONS = {"1d": 24, "2d": 48, "all": 10_000}
LEDGER = Ledger.of(("user_id", "item_id"), {"pair": PAIR})
impressions = st.lists(tl.rows, max_size=60)
events = st.lists(tl.event_rows, max_size=60)


def key(user: str, item: str) -> int:
    return 10 * ord(user) - ord(item)


def longs(values: list[int]) -> Longs:
    return np.array(values, np.int64)


def found(shown: tl.Impressions, happened: tl.Events, cuts: list[int]) -> list[dict[str, float | None]]:
    """The measures of every impression, by spans that meet at the cuts, each of which sees no more than it may."""
    rows: dict[int, dict[str, float | None]] = {}
    keys, balances = longs([]), np.zeros((0, LEDGER.width), np.int64)
    for low, end in pairwise([-1_000, *cuts, 1_000]):

        def touched(arrival: int, low: int = low, end: int = end) -> bool:
            return any(low <= arrival + lag < end for lag in (0, 24, 48))

        seen = [e for e in happened if touched(e[2] + e[3])]
        moves = Moves(
            longs([key(*e[:2]) for e in seen]),
            longs([(e[2] + e[3]) * HOUR for e in seen]),
            longs([e[2] * HOUR for e in seen]),
            longs([e[4] * SCALE for e in seen]).reshape(-1, 1),
        )
        books = Books(LEDGER, None if low < 0 else low * HOUR, (moves,), keys, balances)
        numbers = [n for n, (_, _, hour) in enumerate(shown) if low <= hour < end]
        times = longs([shown[n][2] * HOUR for n in numbers])
        measures = measured(LEDGER, books.at(longs([key(*shown[n][:2]) for n in numbers]), times), times)
        for place, number in enumerate(numbers):
            rows[number] = {m: None if no[place] else float(v[place]) for m, (v, no) in measures.items()}
        keys = books.keys()
        balances = books.at(keys, np.full(keys.shape, end * HOUR))
    return [rows[number] for number in range(len(shown))]


def expected(user: str, item: str, hour: int, happened: tl.Events) -> dict[str, float | None]:
    seen = [(e[2], e[3], e[4]) for e in happened if e[:2] == (user, item) and e[2] + e[3] < hour]
    values: dict[str, float | None] = {}
    for label, length in HORIZONS.items():
        inside = [q for time, late, q in seen if time + late >= hour - length]
        values |= {f"pair_count_{label}": len(inside), f"pair_quantity_{label}": sum(inside)}
    times = [time for time, _, _ in seen]
    values["pair_recency"] = (hour - max(times)) / 24 if times else None
    values["pair_gap"] = (max(times) - min(times)) / (len(times) - 1) / 24 if len(times) > 1 else None
    return values


@given(impressions, events, st.lists(st.integers(1, 72), max_size=4, unique=True).map(sorted))
def test_equals_the_definition_whatever_the_spans(shown: tl.Impressions, happened: tl.Events, cuts: list[int]) -> None:
    for (user, item, hour), row in zip(shown, found(shown, happened, cuts), strict=True):
        for name, value in expected(user, item, hour, happened).items():
            assert row[name] == (None if value is None else pytest.approx(value, rel=1e-6)), name


def test_counts_events_in_a_half_open_horizon() -> None:
    (row,) = found([("u", "a", 24)], [("u", "a", 0, 0, 1), ("u", "a", 24, 0, 1)], [])
    # The event a day earlier to the microsecond is inside, the one at the impression itself is not.
    assert (row["pair_count_1d"], row["pair_count_all"]) == (1.0, 1.0)


def test_sums_are_exact_whatever_the_order() -> None:
    ledger = Ledger.of(("user_id",), {"user": History(events="log", keys=("user_id",), sums=("q",), recency=False)})
    cents = [0.1, 0.2, 0.3, 1e6, -0.1, -0.2] * 20
    times = longs([10])
    for amounts in (cents, cents[::-1]):
        ones = np.ones(len(amounts), np.int64)
        moves = Moves(ones, ones, ones, np.round(np.array(amounts) * SCALE).astype(np.int64).reshape(-1, 1))
        books = Books(ledger, None, (moves,), longs([]), np.zeros((0, ledger.width), np.int64))
        values, _ = measured(ledger, books.at(longs([1]), times), times)["user_q_all"]
        assert values[0] == np.float32(math.fsum(cents))


def test_an_event_column_may_be_called_count() -> None:
    history = History(events="log", keys=("user_id",), sums=("count", "gap"), count=False, recency=False, gap=True)
    ledger = Ledger.of(("user_id",), {"user": history})
    ones = np.ones(2, np.int64)
    # Two events on two days, of 3 and 4 pieces; what the other column says is no time.
    values = np.array([[3, 70], [4, 80]], np.int64) * SCALE
    moves = Moves(ones, ones, longs([0, 24 * HOUR]), values)
    books = Books(ledger, None, (moves,), longs([]), np.zeros((0, ledger.width), np.int64))
    times = longs([48 * HOUR])
    found = measured(ledger, books.at(longs([1]), times), times)
    assert {name: values.tolist() for name, (values, _) in found.items()} == {
        "user_count_all": [7.0], "user_gap_all": [150.0], "user_gap": [1.0]
    }  # fmt: skip


def test_many_keys_over_a_long_time_are_taken_some_at_once() -> None:
    century = 3_155_760_000_000_000
    keys = np.arange(5_000, dtype=np.int64)
    moves = Moves(keys, keys % 7, keys * 0, np.zeros((keys.size, 1), np.int64))
    books = Books(LEDGER, None, (moves,), longs([]), np.zeros((0, LEDGER.width), np.int64))
    totals = books.at(keys, np.full(keys.shape, century))
    count = measured(LEDGER, totals, np.full(keys.shape, century))["pair_count_all"][0]
    assert count.tolist() == [1.0] * keys.size
