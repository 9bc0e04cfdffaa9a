"""The space's impressions and feedback, out of a source's tables."""

from datetime import datetime, timedelta

import pytest
from pyspark.sql import DataFrame, Row, SparkSession

from pipelines.ingestion import all_feedback, all_impressions, check_feedback_follows, check_known
from schemas.errors import LatticeError
from schemas.space import ModelSpace, ValueRange
from tests.pipelines.space import declaration, small_space

NOON = datetime(2024, 1, 10, 12)


@pytest.fixture(scope="module")
def impressions(spark: SparkSession) -> DataFrame:
    common = "source_key string, user_id string, item_id string, impression_time timestamp, arrival_time timestamp"
    return all_impressions(
        {
            "feed": spark.createDataFrame([("k", "u", "a", NOON, NOON, 3)], f"{common}, rank long"),
            "search": spark.createDataFrame([("k", "u", "a", NOON, NOON, "q")], f"{common}, query string"),
        },
        small_space(),
    )


def test_declared_columns_may_be_left_out(spark: SparkSession, impressions: DataFrame) -> None:
    keys = ["impression_id", "domain", "user_id", "item_id", "impression_time", "arrival_time", "source_key"]
    assert impressions.columns[: len(keys)] == keys
    assert {"rank", "query"} <= set(impressions.columns)
    shown = {
        domain: impressions.where(impressions["domain"] == domain).select(
            *keys[2:], *small_space().domains[domain].columns
        )
        for domain in ("feed", "search")
    }
    assert all_impressions(shown, small_space(), declared=False).columns == keys


def feedback(spark: SparkSession, time: datetime, domain: str | None, key: str | None) -> DataFrame:
    schema = (
        "user_id string, item_id string, feedback_time timestamp, arrival_time timestamp, source_key string, "
        "domain string, value double"
    )
    return spark.createDataFrame([("u", "a", time, time, key, domain, None)], schema)


def test_one_key_in_two_domains_is_two_impressions(impressions: DataFrame) -> None:
    rows = {row["domain"]: row for row in impressions.collect()}
    assert rows["feed"]["impression_id"] != rows["search"]["impression_id"]
    assert (rows["feed"]["rank"], rows["feed"]["query"]) == (3, None)
    assert (rows["search"]["rank"], rows["search"]["query"]) == (None, "q")


def test_keyed_feedback_finds_the_impression_of_its_domain(spark: SparkSession, impressions: DataFrame) -> None:
    tables = {
        "click": feedback(spark, NOON, "search", "k"),
        "buy": feedback(spark, NOON, None, None),
        "lost": feedback(spark, NOON, "feed", "unknown"),
    }
    rows = {row["objective"]: row for row in all_feedback(tables, impressions, small_space()).collect()}
    ids = {row["domain"]: row["impression_id"] for row in impressions.collect()}
    assert (rows["click"]["impression_id"], rows["click"]["answered_time"]) == (ids["search"], NOON)
    assert (rows["buy"]["impression_id"], rows["buy"]["answered_time"]) == (None, None)
    assert rows["lost"]["answered_time"] is None


def test_feedback_that_all_comes_before_any_impression_is_refused(spark: SparkSession, impressions: DataFrame) -> None:
    early = all_feedback({"buy": feedback(spark, NOON - timedelta(days=9), None, None)}, impressions, small_space())
    late = all_feedback({"buy": feedback(spark, NOON + timedelta(days=9), None, None)}, impressions, small_space())
    check_feedback_follows(impressions, early.unionByName(late))
    with pytest.raises(LatticeError, match=r"'buy'\n.*before any impression"):
        check_feedback_follows(impressions, early)


def test_impressions_of_what_attributes_know_nothing_of(spark: SparkSession, impressions: DataFrame) -> None:
    def space(share: float) -> ModelSpace:
        return ModelSpace.model_validate(declaration() | {"quality": {"lacking": {"item": share}}})

    known, none = (
        spark.createDataFrame([(item, "k", 1.0)], "item_id string, kind string, price double") for item in "ab"
    )
    assert check_known(impressions, "item", known, space(0.0)).failing == 0
    assert check_known(impressions, "item", none, space(1.0)).failing == 2
    assert check_known(impressions.limit(0), "item", none, space(0.0)).rows == 0
    with pytest.raises(LatticeError, match=r"item_id is not in attributes_item in 2 of 2 rows; .*\n.*item_id=a"):
        check_known(impressions, "item", none, space(0.5))


def test_feedback_counts_where_its_value_lies_in_the_declared_range(
    spark: SparkSession, impressions: DataFrame
) -> None:
    one = feedback(spark, NOON + timedelta(hours=1), None, None).collect()[0].asDict()
    rated = [Row(**{**one, "value": value}) for value in (3.5, 4.0, 5.0, None)]
    stars = spark.createDataFrame(rated, feedback(spark, NOON, None, None).schema)
    space = small_space()
    for wanted, counted in ((ValueRange(at_least=4), [4.0, 5.0]), (ValueRange(at_least=3.6, at_most=4), [4.0])):
        buy = space.objectives["buy"].model_copy(update={"value": wanted})
        declared = space.model_copy(update={"objectives": {**space.objectives, "buy": buy}})
        rows = all_feedback({"buy": stars}, impressions, declared).collect()
        assert sorted(row["value"] for row in rows) == counted
