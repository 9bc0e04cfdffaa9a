"""The parts of a guess: names, columns, delays, windows and splits, each alone."""

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.guessing.columns import column
from pipelines.guessing.delays import DURATIONS, ENOUGH, UNKNOWN, Numbers, delays, pair_ids, proposed
from pipelines.guessing.features import room
from pipelines.guessing.names import ITEM, USER, plain, strength, words
from pipelines.guessing.splits import guess_splits

DAY = timedelta(days=1)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("userId", ("user", "id")),
        ("VISITOR_ID", ("visitor", "id")),
        ("visitorid", ("visitor", "id")),
        ("AdImpressions", ("ad", "impression")),
        ("paid", ("paid",)),
        ("address", ("address",)),
        ("müller", ("müller",)),
        ("", ()),
    ],
)
def test_words(name: str, said: tuple[str, ...]) -> None:
    assert words(name) == said


def test_the_better_name_wins() -> None:
    assert strength("user_id", USER) > strength("device_id", USER) > strength("ad_user_id", USER) > (0, 0)
    assert strength("user_age", USER) == strength("position", ITEM) == strength("id", ITEM) == (0, 0)
    assert strength("product_id", ITEM) > strength("category_id", ITEM)


@settings(deadline=None)
@given(st.text())
def test_a_plain_name_is_one_that_a_space_file_takes(name: str) -> None:
    made = plain(name)
    assert made.isascii()
    assert made[0].isalpha()
    assert made == made.lower()
    assert made.replace("_", "a").isalnum()


COLUMNS = [
    (["1", "-2", None], "long", [1, -2, None]),
    (["007", "1"], "string", ["007", "1"]),
    (["1.5", "+2", "1e3"], "double", [1.5, 2.0, 1000.0]),
    (["1", "NaN"], "string", ["1", "NaN"]),
    ([None, None], None, [None, None]),
    (["2024-03-01", "2024-03-01 12:30"], "timestamp", [datetime(2024, 2, 29, 23), datetime(2024, 3, 1, 11, 30)]),
    (["2024-03-01T12:00:00Z", "2024-03-01T12:00:00+02:00"], "timestamp", [datetime(2024, 3, 1, h) for h in (12, 10)]),
    # Skipped and repeated by daylight saving, as the source takes them.
    (["2024-03-31 02:30", "2024-10-27 02:30"], "timestamp", [datetime(2024, 3, 31, 1), datetime(2024, 10, 27, 0, 30)]),
    (["2024-02-30"], "string", ["2024-02-30"]),
    (["01/03/2024"], "string", ["01/03/2024"]),
]


@pytest.mark.parametrize(("texts", "kind", "values"), COLUMNS)
def test_the_type_of_text(texts: list[str | None], kind: str | None, values: list[object]) -> None:
    found = column("x", pa.chunked_array([pa.array(texts, pa.string())]), "Europe/Berlin", csv=True)
    given_values = found.values.to_pylist()
    if kind == "timestamp":
        given_values = [value.astimezone(UTC).replace(tzinfo=None) for value in given_values]
    assert (found.type, given_values) == (kind, values)


@pytest.mark.parametrize(
    ("name", "numbers", "unit"),
    [
        ("ts", [1_714_521_600, 1_714_525_200], "seconds"),
        ("ts", [1_714_521_600_000, 1_714_525_200_000], "milliseconds"),
        ("timestamp", [0, 400_000], "seconds"),
        ("time", [0, 23], ""),
        ("price", [1_714_521_600, 1_714_525_200], ""),
    ],
)
def test_numbers_that_are_times(name: str, numbers: list[int], unit: str) -> None:
    found = column(name, pa.chunked_array([pa.array(numbers)]), "UTC", csv=False)
    assert (found.unit, found.type) == (unit, "timestamp" if unit else "long")
    if numbers[0] > 1_000_000_000 and unit:
        assert found.range[0] == datetime(2024, 5, 1, tzinfo=UTC)


ROWS = st.lists(st.tuples(st.integers(-1, 3), st.integers(0, 50)), max_size=30)


@settings(deadline=None)
@given(ROWS, ROWS)
def test_a_delay_counts_from_the_last_impression_before(
    shown: list[tuple[int, int]], answered: list[tuple[int, int]]
) -> None:
    expected = []
    for pair, time in answered:
        before = [at for other, at in shown if other == pair >= 0 and at <= time]
        expected += [time - max(before)] if before else []

    def arrays(rows: list[tuple[int, int]]) -> tuple[Numbers, Numbers]:
        return np.array([p for p, _ in rows], dtype=np.int64), np.array([t for _, t in rows], dtype=np.int64)

    assert sorted(delays(arrays(shown), arrays(answered))) == sorted(expected)


def test_pairs_are_the_same_across_tables() -> None:
    first = (pa.array(["a", "a", None]), pa.array(["x", "y", "x"]))
    second = (pa.array(["a", "ax"]), pa.array(["y", ""]))
    one, other = pair_ids(first, second)
    assert one[1] == other[0]
    assert one[2] == -1
    assert len({one[0], one[1], other[1]}) == 3


@settings(deadline=None)
@given(st.lists(st.integers(1, 10**14), min_size=ENOUGH, max_size=60), st.integers(1, 400))
def test_windows_hold_their_share_of_the_delays(found: list[int], days: int) -> None:
    microseconds, longest = np.array(found), days * DAY
    windows = proposed(microseconds, longest)
    assert list(windows) == sorted(set(windows))
    assert set(windows) <= set(DURATIONS)
    assert windows[-1] <= longest
    shares = [np.mean(microseconds <= window / timedelta(microseconds=1)) for window in windows]
    largest = max(duration for duration in DURATIONS if duration <= longest)
    assert windows[-1] == largest or shares[-1] >= 0.9


def test_few_delays_propose_what_is_usual() -> None:
    assert proposed(np.array([5]), 100 * DAY) == UNKNOWN
    assert proposed(np.array([], dtype=np.int64), 2 * DAY) == (DAY, 2 * DAY)


@settings(deadline=None)
@given(st.integers(0, 800), st.integers(0, 90 * 24))
def test_splits_are_in_order_and_leave_days_to_train_on(days: int, hours: int) -> None:
    first, longest = date(2024, 1, 1), timedelta(hours=hours)
    last = first + days * DAY
    found = guess_splits(first, last, longest)
    assert found.validation[0] <= found.validation[1] < found.test[0] <= found.test[1] == last
    if not found.doubt:
        assert found.test[0] - found.validation[1] - DAY >= longest
        assert found.validation[0] - first >= longest


@pytest.mark.parametrize(("count", "rows"), [(1, 32), (16, 32), (17, 64), (60, 128), (64, 128), (65, 256)])
def test_an_id_space_has_twice_the_room(count: int, rows: int) -> None:
    assert room(count) == rows
