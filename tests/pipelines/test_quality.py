"""Expectation suites: what fails is named, with the rows and why it matters."""

from datetime import datetime

import pytest
from pyspark.sql import DataFrame, SparkSession

from pipelines.quality import check, examine
from schemas.errors import LatticeError
from schemas.expectations import Expectation

GOOD = [(1, "u", 0.5, datetime(2024, 1, 2), datetime(2024, 1, 1)), (2, "v", None, datetime(2024, 1, 2), None)]
SUITE = [
    Expectation(kind="not_empty", column="id", why="reason 0"),
    Expectation(kind="not_null", column="user", why="reason 1"),
    Expectation(kind="unique", column="id", why="reason 2"),
    Expectation(kind="in_set", column="user", arguments={"value_set": ["u", "v"]}, why="reason 3"),
    Expectation(kind="between", column="x", arguments={"min_value": 0, "max_value": 1}, why="reason 4"),
    Expectation(kind="not_before", column="late", arguments={"earlier": "early"}, why="reason 5"),
]
PAIRS = [Expectation(kind="unique_together", column="id", arguments={"with": "user"}, why="reason 6")]


def rows(spark: SparkSession, data: list[object]) -> DataFrame:
    return spark.createDataFrame(data, "id long, user string, x double, late timestamp, early timestamp")


def test_good_rows_pass(spark: SparkSession) -> None:
    check(rows(spark, list(GOOD)), "t", SUITE, ("id",))


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ((3, None, 0.5, None, None), r"user is null in 1 of 3 rows \(id=3"),
        ((1, "u", 0.5, None, None), r"id is there more than once in 2 of 3 rows \(id=1"),
        ((3, "w", 0.5, None, None), r"user is none of \['u', 'v'\] in 1 of 3 rows \(id=3"),
        ((3, "u", 1.5, None, None), r"x is not in 0\.\.1 in 1 of 3 rows \(id=3"),
        ((3, "u", 0.5, datetime(2024, 1, 1), datetime(2024, 1, 2)), r"late lies before early in 1 of 3 rows \(id=3"),
    ],
)
def test_bad_rows_are_named_with_the_reason(spark: SparkSession, bad: object, says: str) -> None:
    with pytest.raises(LatticeError, match=says) as caught:
        check(rows(spark, [*GOOD, bad]), "t", SUITE, ("id",))
    assert "nothing was published" in str(caught.value)
    assert str(caught.value).count("reason") == 1


@pytest.mark.parametrize(
    "bad",
    [
        (3, None, 0.5, None, None),
        (1, "u", 0.5, None, None),
        (None, "u", 0.5, None, None),
        (3, "w", float("nan"), datetime(2024, 1, 1), datetime(2024, 1, 2)),
        (3, "u", float("nan"), None, None),
        (3, "u", -0.0, datetime(2024, 1, 1, 0, 0, 0, 1), datetime(2024, 1, 1, 0, 0, 0, 2)),
    ],
)
def test_a_few_rows_are_checked_in_memory_with_the_same_outcome(spark: SparkSession, bad: object) -> None:
    frame = rows(spark, [*GOOD, bad])
    in_memory, failure = examine(frame, [*SUITE, *PAIRS], ("id",), count=3)
    by_spark, expected = examine(frame, [*SUITE, *PAIRS], ("id",))
    assert in_memory == by_spark
    assert failure == expected


def test_a_night_without_rows_passes_where_it_may_be_empty(spark: SparkSession) -> None:
    outcomes = check(rows(spark, []), "t", [*SUITE[1:], *PAIRS], ("id",))
    assert [outcome.failing for outcome in outcomes] == [0] * 6
    assert check(rows(spark, []), "t", [*SUITE[1:], *PAIRS], ("id",), count=0) == outcomes


def test_an_empty_table_fails(spark: SparkSession) -> None:
    with pytest.raises(LatticeError, match="no rows"):
        check(rows(spark, list(GOOD)).limit(0), "t", SUITE[:1], ("id",))


def test_two_columns_together_are_unique(spark: SparkSession) -> None:
    pairs = [*GOOD, (1, "v", None, None, None)]
    check(rows(spark, list(pairs)), "t", PAIRS, ("id",))
    with pytest.raises(LatticeError, match=r"id with user is there more than once in 2 of 4 rows \(id=1.*reason 6"):
        check(rows(spark, [*pairs, (1, "v", 0.5, None, None)]), "t", PAIRS, ("id",))
