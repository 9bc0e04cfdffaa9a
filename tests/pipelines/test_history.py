"""History features against their definition, computed row by row in Python."""

import math
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyspark.sql import SparkSession

from pipelines.history import history_features
from schemas.space import History
from tests.pipelines import timelines as tl

PAIR = History(
    events="log", keys=("user_id", "item_id"), horizons=("1d", "2d", "all"), sums=("quantity",), gap=True
)  # fmt: skip
HORIZONS = {"1d": 24, "2d": 48, "all": 10_000}


def measured(spark: SparkSession, impressions: tl.Impressions, events: tl.Events) -> dict[Any, Any]:
    frame = history_features(
        tl.impression_frame(spark, impressions), {"log": tl.event_frame(spark, events)}, ["user_id", "item_id"],
        {"pair": PAIR},
    )  # fmt: skip
    return {(r["user_id"], r["item_id"], r["impression_time"]): r.asDict() for r in frame.collect()}


def expected(user: str, item: str, hour: int, events: tl.Events) -> dict[Any, Any]:
    seen = [(e[2], e[3], e[4]) for e in events if e[:2] == (user, item) and e[2] + e[3] < hour]
    values: dict[str, float | None] = {}
    for label, length in HORIZONS.items():
        inside = [q for time, late, q in seen if time + late >= hour - length]
        values |= {f"pair_count_{label}": len(inside), f"pair_quantity_{label}": sum(inside)}
    times = [time for time, _, _ in seen]
    values["pair_recency"] = (hour - max(times)) / 24 if times else None
    values["pair_gap"] = (max(times) - min(times)) / (len(times) - 1) / 24 if len(times) > 1 else None
    return values


@settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(tl.rows, min_size=40, max_size=200), st.lists(tl.event_rows, min_size=40, max_size=200))
def test_equals_the_definition(spark: SparkSession, impressions: tl.Impressions, events: tl.Events) -> None:
    found = measured(spark, impressions, events)
    assert len(found) == len(set(impressions))
    for user, item, hour in impressions:
        row = found[user, item, tl.at(hour).replace(tzinfo=None)]
        for name, value in expected(user, item, hour, events).items():
            if value is None:
                assert row[name] is None, name
            else:
                assert row[name] == pytest.approx(value, rel=1e-6), name


def test_counts_events_in_a_half_open_horizon(spark: SparkSession) -> None:
    events = [("u", "a", 0, 0, 1), ("u", "a", 24, 0, 1)]
    row = next(iter(measured(spark, [("u", "a", 24)], events).values()))
    # The event a day earlier to the microsecond is inside, the one at the impression itself is not.
    assert (row["pair_count_1d"], row["pair_count_all"]) == (1.0, 1.0)


def test_sums_are_exact_whatever_the_order(spark: SparkSession) -> None:
    history = History(events="log", keys=("user_id",), sums=("quantity",), recency=False)
    cents = [0.1, 0.2, 0.3, 1e6, -0.1, -0.2] * 20
    data = [("u", "a", tl.at(1), tl.at(1), c) for c in cents]
    schema = "user_id string, item_id string, event_time timestamp, arrival_time timestamp, quantity double"
    points = tl.impression_frame(spark, [("u", "a", 2)])
    for rows in (data, data[::-1]):
        log = spark.createDataFrame(rows, schema).repartition(5)
        row = history_features(points, {"log": log}, ["user_id"], {"user": history}).collect()[0]
        assert row["user_quantity_all"] == pytest.approx(math.fsum(cents), rel=1e-7)


def test_null_keys_are_left_out(spark: SparkSession) -> None:
    points = tl.impression_frame(spark, [("u", "a", 2)]).selectExpr("*", "cast(null as string) as kind")
    log = tl.event_frame(spark, [("u", "a", 1, 0, 1)]).selectExpr("*", "cast(null as string) as kind")
    history = History(events="log", keys=("user_id", "item_id"), horizons=(timedelta(days=1),))
    assert history_features(points, {"log": log}, ["user_id", "kind"], {"x": history}).count() == 0
