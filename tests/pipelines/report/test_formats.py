from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.report import formats


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "0"),
        (999, "999"),
        (1_000, "1.00 k"),
        (999_499, "999 k"),
        (999_500, "1.00 M"),
        (31_271_918, "31.3 M"),
        (2_000_000_000, "2.00 G"),
    ],
)
def test_compact(value: int, shown: str) -> None:
    assert formats.compact(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.0, "0%"),
        (0.0009, "0.0900%"),
        (0.037, "3.70%"),
        (0.19, "19.0%"),
        (0.999, "99.9%"),
        (0.9999, "100%"),
        (1, "100%"),
    ],
)
def test_percent(value: float, shown: str) -> None:
    assert formats.percent(value) == shown


@given(st.floats(min_value=1e-9, max_value=1.0))
def test_a_percentage_is_right_to_three_digits(value: float) -> None:
    shown = float(formats.percent(value).rstrip("%"))
    assert shown == pytest.approx(value * 100, rel=0.006)


def test_what_does_not_exist_is_a_dash() -> None:
    assert {formats.count(None), formats.percent(None), formats.metric(None), formats.ratio(None)} == {formats.MISSING}
    assert formats.share(1, 0) is None


def test_seconds() -> None:
    assert [formats.seconds(value) for value in (3.24, 75.2, 7_300)] == ["3.2 s", "1 min 15 s", "2 h 1 min"]


def test_moments_are_in_utc() -> None:
    new_york = timezone(timedelta(hours=-5))
    assert formats.moment(datetime(2017, 12, 31, 23, 30, tzinfo=new_york)) == "2018-01-01 04:30 UTC"
    assert formats.day(datetime(2017, 12, 31, 23, 30, tzinfo=new_york)) == "2018-01-01"
