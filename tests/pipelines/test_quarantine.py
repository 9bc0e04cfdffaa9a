"""Which rows are kept apart: each for its own fault, and of one key all but the first."""

from datetime import UTC, datetime, timedelta

import pandas as pd
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyspark.sql import DataFrame, SparkSession

from pipelines.quarantine import REASON, judged, kept_apart
from schemas.expectations import Expectation

MIDNIGHT = datetime(2024, 5, 1)
SUITE = [
    Expectation(kind="not_null", column="user_id", why="w"),
    Expectation(kind="in_set", column="domain", arguments={"value_set": ["feed", "search"]}, why="w"),
    Expectation(kind="between", column="x", arguments={"min_value": 0, "max_value": 1}, why="w"),
    Expectation(kind="not_before", column="arrival_time", arguments={"earlier": "impression_time"}, why="w"),
    Expectation(kind="unique", column="id", why="w"),
]
SCHEMA = "id long, user_id string, domain string, x double, impression_time timestamp, arrival_time timestamp"


def row(
    key: int, arrives: int = 0, user: str | None = "u", domain: str | None = "feed", x: float | None = 0.5
) -> object:
    """A row that arrives so many minutes after midnight; its impression was at midnight."""
    return (key, user, domain, x, MIDNIGHT, MIDNIGHT + timedelta(minutes=arrives))


def reasons(frame: DataFrame) -> list[tuple[int, str | None]]:
    return sorted(((found["id"], found[REASON]) for found in frame.collect()), key=str)


def test_each_fault_is_named_and_nulls_break_only_what_asks_for_a_value(spark: SparkSession) -> None:
    rows = [
        row(1),
        row(2, user=None),
        row(3, domain="mail"),
        row(4, x=1.5),
        row(5, arrives=-1),
        row(6, user=None, x=-1.0),
        row(7, domain=None, x=None),
    ]
    assert reasons(judged(spark.createDataFrame(rows, SCHEMA), SUITE)) == [
        (1, None),
        (2, "user_id is null"),
        (3, "domain is none of ['feed', 'search']"),
        (4, "x is not in 0..1"),
        (5, "arrival_time lies before impression_time"),
        (6, "user_id is null; x is not in 0..1"),
        (7, None),
    ]


def test_of_one_key_the_first_good_row_stays(spark: SparkSession) -> None:
    rows = [row(1, 9, "late"), row(1, 3, "kept"), row(1, 1, None), row(2), row(3, 5, "b"), row(3, 5, "a")]
    found = judged(spark.createDataFrame(rows, SCHEMA), SUITE)
    assert reasons(found.where("user_id = 'kept' OR user_id = 'a' OR id = 2")) == [(1, None), (2, None), (3, None)]
    assert found.where(f"{REASON} = 'id is there more than once'").count() == 2


def test_what_is_published_comes_first(spark: SparkSession) -> None:
    known = spark.createDataFrame([row(1), row(8)], SCHEMA)
    rows = [row(1, 2), row(1, 3), row(2)]
    found = judged(spark.createDataFrame(rows, SCHEMA), SUITE, known)
    assert reasons(found) == [(1, "id is published already"), (1, "id is there more than once"), (2, None)]


@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(st.integers(0, 5), st.integers(-2, 9), st.sampled_from(["u", "v", None])), min_size=1, max_size=25
    ),
    st.integers(0, 9),
)
def test_nights_keep_the_rows_that_one_batch_keeps(
    spark: SparkSession, drawn: list[tuple[int, int, str | None]], cut: int
) -> None:
    every = spark.createDataFrame([row(key, arrives, user) for key, arrives, user in drawn], SCHEMA)
    midnight = MIDNIGHT + timedelta(minutes=cut)

    def kept(rows: DataFrame, known: DataFrame | None = None) -> DataFrame:
        return judged(rows, SUITE, known).where(f"{REASON} IS NULL").drop(REASON)

    first = kept(every.where(every["arrival_time"] < midnight))
    second = kept(every.where(every["arrival_time"] >= midnight), first)
    whole = kept(every).toPandas()
    nights = first.unionByName(second).toPandas()
    order = list(whole.columns)
    pd.testing.assert_frame_equal(
        whole.sort_values(order, ignore_index=True), nights.sort_values(order, ignore_index=True)
    )
    assert whole["id"].is_unique


def test_the_row_is_noted_whole(spark: SparkSession) -> None:
    through = datetime(2024, 5, 2, tzinfo=UTC)
    bad = spark.createDataFrame([row(2, user=None)], SCHEMA)
    noted = kept_apart(judged(bad, SUITE), "impressions", through, "run-1").collect()[0].asDict()
    assert noted["row"] == (
        '{"id":2,"user_id":null,"domain":"feed","x":0.5,'
        '"impression_time":"2024-05-01T00:00:00.000000Z","arrival_time":"2024-05-01T00:00:00.000000Z"}'
    )
    assert (noted["table"], noted["reason"], noted["user_id"]) == ("impressions", "user_id is null", None)
    assert (noted["through"], noted["run"]) == (datetime(2024, 5, 2), "run-1")
