"""Statistics of tiny tables, counted by hand."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from pyspark.sql import SparkSession

from pipelines.report import statistics
from pipelines.report.collect import collect_statistics
from pipelines.report.delays import delay_counts, delay_curves
from schemas.report import DelayCurve, LabelCounts, ZipperCounts
from schemas.space import ModelSpace

OBSERVED = {"from": "2024-01-01T05:00:00Z", "to": "2024-02-01T05:00:00Z"}
SPLITS = {
    "validation": {"from": "2024-01-10", "to": "2024-01-12"},
    "test": {"from": "2024-01-20", "to": "2024-01-22"},
}

# Monday 2024-01-15 begins at 05:00 UTC in New York.
SUNDAY = datetime(2024, 1, 15, 4, 59, tzinfo=UTC)
MONDAY = datetime(2024, 1, 15, 5, 0, tzinfo=UTC)
LATE = datetime(2024, 1, 30, 5, 0, tzinfo=UTC)
EARLY = datetime(2023, 12, 31, 12, 0, tzinfo=UTC)

# impression_id, domain, user_id, item_id, impression_time, window, label_click, label_buy, label_return
ZIPPED = [
    (1, "shop", "a", "x", SUNDAY, "1d", 1.0, 0.0, None),
    (2, "shop", "a", "y", SUNDAY, "7d", 0.0, 1.0, None),
    (3, "shop", "b", "x", MONDAY, "7d", 0.0, 0.0, None),
    (4, "shop", "b", "y", LATE, "7d", 1.0, None, None),
    (5, "shop", "c", "x", LATE, "1d", 0.0, 1.0, None),
    (6, "mail", "c", "x", EARLY, "7d", None, None, None),
    (7, "mail", "c", "y", MONDAY, "1d", None, 0.0, None),
    (8, "mail", "d", "x", MONDAY, "7d", None, 1.0, 1.0),
]
ZIPPED_SCHEMA = (
    "impression_id long, domain string, user_id string, item_id string, impression_time timestamp, window string, "
    "label_click float, label_buy float, label_return float"
)
DELAYS = [("shop", "buy", 0.5), ("shop", "buy", 1.0), ("shop", "buy", 6.9), ("mail", "return", 2.0)]


@pytest.fixture(scope="module")
def space() -> ModelSpace:
    return ModelSpace.model_validate(
        {
            "name": "tiny",
            "time_zone": "America/New_York",
            "id_spaces": {"user": 8},
            "domains": {"shop": {}, "mail": {}},
            "objectives": {
                "click": {"domains": ["shop"], "match": "impression", "observed": OBSERVED},
                "buy": {"domains": ["shop", "mail"], "windows": ["1d", "7d"], "observed": OBSERVED},
                "return": {"domains": ["mail"], "windows": ["7d"], "observed": OBSERVED},
            },
            "features": {},
            "groups": {"all": {"windows": ["1d", "7d"]}},
            "splits": SPLITS,
        }
    )


def _labels(*counts: tuple[Any, ...]) -> list[LabelCounts]:
    names = ("domain", "objective", "window", "week", "rows", "labelled", "positives", "early", "open")
    return [LabelCounts(**dict(zip(names, row, strict=True))) for row in counts]


def test_a_run_is_counted_by_domain_objective_window_and_local_week(spark: SparkSession, space: ModelSpace) -> None:
    zipped = spark.createDataFrame(ZIPPED, ZIPPED_SCHEMA)
    unified = zipped.unionByName(
        spark.createDataFrame([(9, "mail", "d", "y", LATE, "7d", None, None, None)], ZIPPED_SCHEMA)
    ).drop("window", "label_click", "label_buy", "label_return")
    evaluation = spark.createDataFrame(
        [
            ("shop", "test", 1.0, 0.0, None),
            ("shop", "test", 0.0, None, None),
            ("mail", "test", None, 1.0, 1.0),
            ("shop", "validation", 0.0, 1.0, None),
        ],
        "domain string, split string, label_click float, label_buy float, label_return float",
    )
    feedback = spark.createDataFrame(
        [("buy", "a", SUNDAY), ("buy", "a", MONDAY), ("return", "d", LATE)],
        "objective string, user_id string, feedback_time timestamp",
    )
    delays = spark.createDataFrame(DELAYS, "domain string, objective string, delay_days double")

    found = collect_statistics(
        space,
        "all",
        impressions=unified,
        feedback=feedback,
        unified=unified,
        zipped=zipped,
        evaluation=evaluation,
        delays=delays,
    )

    before, monday, late, december = date(2024, 1, 8), date(2024, 1, 15), date(2024, 1, 29), date(2023, 12, 25)
    assert list(found.labels) == _labels(
        ("shop", "click", None, before, 2, 2, 1, 0, 0),
        ("shop", "click", None, monday, 1, 1, 0, 0, 0),
        ("shop", "click", None, late, 2, 2, 1, 0, 0),
        ("shop", "buy", "1d", before, 1, 1, 0, 0, 0),
        ("shop", "buy", "1d", late, 1, 1, 1, 0, 0),
        ("shop", "buy", "7d", before, 1, 1, 1, 0, 0),
        ("shop", "buy", "7d", monday, 1, 1, 0, 0, 0),
        ("shop", "buy", "7d", late, 1, 0, 0, 0, 1),
        ("mail", "buy", "1d", monday, 1, 1, 0, 0, 0),
        ("mail", "buy", "7d", december, 1, 0, 0, 1, 0),
        ("mail", "buy", "7d", monday, 1, 1, 1, 0, 0),
        ("mail", "return", "7d", december, 1, 0, 0, 1, 0),
        ("mail", "return", "7d", monday, 1, 1, 1, 0, 0),
    )
    assert [(w.domain, w.week, w.rows) for w in found.weeks] == [
        ("shop", before, 2),
        ("shop", monday, 1),
        ("shop", late, 2),
        ("mail", december, 1),
        ("mail", monday, 2),
    ]
    assert found.zipper == (
        ZipperCounts(domain="shop", unified=5, zipped=5, distinct=5, windows={"1d": 2, "7d": 3}),
        ZipperCounts(domain="mail", unified=4, zipped=3, distinct=3, windows={"1d": 1, "7d": 2}),
    )
    assert [(e.split, e.domain, e.objective, e.rows, e.labelled, e.positives) for e in found.evaluation] == [
        ("validation", "shop", "click", 1, 1, 0),
        ("validation", "shop", "buy", 1, 1, 1),
        ("test", "shop", "click", 2, 2, 1),
        ("test", "shop", "buy", 2, 1, 0),
        ("test", "mail", "buy", 1, 1, 1),
        ("test", "mail", "return", 1, 1, 1),
    ]
    assert [(i.domain, i.rows, i.users, i.items, i.first, i.last) for i in found.impressions] == [
        ("shop", 5, 3, 2, SUNDAY, LATE),
        ("mail", 4, 2, 2, EARLY, LATE),
    ]
    assert [(f.objective, f.rows, f.users, f.first, f.last) for f in found.feedback] == [
        ("buy", 2, 1, SUNDAY, MONDAY),
        ("return", 1, 1, LATE, LATE),
    ]
    shop, mail = found.delays
    assert (shop.domain, shop.objective, shop.windows) == ("shop", "buy", {"1d": 2, "7d": 3})
    assert _seen(shop) == {0.0: 0, 0.375: 0, 0.5: 1, 1.0: 2, 6.875: 2, 7.0: 3}
    assert (mail.domain, mail.objective, mail.windows) == ("mail", "return", {"7d": 1})
    assert _seen(mail) == {0.0: 0, 0.375: 0, 0.5: 0, 1.0: 0, 6.875: 1, 7.0: 1}
    assert found.windows == ("1d", "7d")
    assert found.window_days == (1.0, 7.0)


def _seen(curve: DelayCurve) -> dict[float, int]:
    seen = dict(zip(curve.days, curve.conversions, strict=True))
    return {day: seen[day] for day in (0.0, 0.375, 0.5, 1.0, 6.875, 7.0)}


def test_an_impression_that_is_zipped_twice_shows(spark: SparkSession) -> None:
    zipped = spark.createDataFrame(
        [(1, "shop", "1d"), (1, "shop", "7d"), (2, "shop", "7d")], "impression_id long, domain string, window string"
    )
    row = statistics.zipped_counts(zipped, ["1d", "7d"]).collect()[0]
    assert (row.rows, row.distinct, row.windows) == (3, 2, [1, 2])


def test_the_longest_delay_that_a_window_sees_is_counted_whatever_the_window(spark: SparkSession) -> None:
    """0.1 days in 56 parts: floating point may put the very end of the window past its last part."""
    for minutes in (1, 7, 144, 1_441):
        space = _one_window(f"{minutes}m")
        days = timedelta(minutes=minutes) / timedelta(days=1)
        delays = spark.createDataFrame(
            [("shop", "buy", days), ("shop", "buy", days * 1.001)], "domain string, objective string, delay_days double"
        )
        (curve,) = delay_curves(delay_counts(delays, space, "all"), space, "all")
        assert curve.conversions[-2:] == (0, 1)
        assert list(curve.windows.values()) == [1]


def _one_window(window: str) -> ModelSpace:
    return ModelSpace.model_validate(
        {
            "name": "tiny",
            "id_spaces": {"user": 8},
            "domains": {"shop": {}},
            "objectives": {"buy": {"domains": ["shop"], "windows": [window], "observed": OBSERVED}},
            "features": {},
            "groups": {"all": {"windows": [window]}},
            "splits": SPLITS,
        }
    )
