"""``zipped`` and ``evaluation`` against the contract."""

from datetime import UTC, datetime, timedelta

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from pipelines.attribution import evaluation, zipped
from pipelines.labels import outcomes
from tests.pipelines.space import OBSERVED, small_space

END = datetime.fromisoformat(OBSERVED["to"])
DAYS = {"1d": timedelta(days=1), "7d": timedelta(days=7)}


@pytest.fixture(scope="module")
def impressions(spark: SparkSession) -> DataFrame:
    """One impression every 20 minutes over the observed two months and some days before and after."""
    return spark.range(4_800).select(
        F.col("id").alias("impression_id"),
        F.when(F.col("id") % 2 == 0, "feed").otherwise("search").alias("domain"),
        F.concat(F.lit("u"), F.col("id") % 7).alias("user_id"),
        F.concat(F.lit("i"), F.col("id") % 5).alias("item_id"),
        (F.lit(datetime(2023, 12, 28, tzinfo=UTC)) + F.make_interval(mins=F.col("id").cast("int") * 20)).alias(
            "impression_time"
        ),
    )


@pytest.fixture(scope="module")
def found(spark: SparkSession, impressions: DataFrame) -> DataFrame:
    delay = F.make_interval(hours=(F.col("impression_id") % 200).cast("int") + 1)
    buys = impressions.where("impression_id % 3 = 0").select(
        F.lit("buy").alias("objective"),
        "user_id",
        "item_id",
        (F.col("impression_time") + delay).alias("feedback_time"),
        (F.col("impression_time") + delay).alias("arrival_time"),
        F.lit(None).cast("long").alias("impression_id"),
    )
    clicks = impressions.where("impression_id % 10 = 0").select(
        F.lit("click").alias("objective"),
        "user_id",
        "item_id",
        F.col("impression_time").alias("feedback_time"),
        F.col("impression_time").alias("arrival_time"),
        "impression_id",
    )
    return outcomes(impressions, buys.unionByName(clicks), dict(small_space().objectives)).cache()


def test_zipped_holds_what_was_available_each_once(impressions: DataFrame, found: DataFrame) -> None:
    rows = zipped(impressions, found, small_space(), "all").toPandas()
    assert rows["impression_id"].is_unique
    assert set(rows["window"]) == {"1d", "7d"}
    lengths = rows["window"].map(DAYS)
    assert (rows["available_time"] == rows["impression_time"] + lengths).all()
    assert rows["available_time"].max() < END.replace(tzinfo=None)
    shown = impressions.where(F.col("impression_time") < F.lit(END - DAYS["7d"])).count()
    assert rows["impression_id"].isin(range(shown)).sum() == shown


def test_zipped_labels_are_those_of_the_assigned_window(impressions: DataFrame, found: DataFrame) -> None:
    frame = zipped(impressions, found, small_space(), "all").join(found, on="impression_id", how="left")
    rows = frame.toPandas()
    start = datetime.fromisoformat(OBSERVED["from"]).replace(tzinfo=None)
    known = rows["impression_time"] >= start
    assert 0 < known.sum() < len(rows)
    search = rows["domain"] == "search"
    bought = (rows["arrival_buy"] <= rows["available_time"]).astype(float)
    assert (rows["label_buy"][search & known] == bought[search & known]).all()
    assert rows["label_buy"][~(search & known)].isna().all()
    assert (rows["label_click"][known] == (rows["impression_id"][known] % 10 == 0)).all()
    assert rows["label_click"][~known].isna().all()
    assert 0 < rows["label_buy"].mean() < 1


def test_evaluation_has_the_oracle_label_of_whole_local_days(impressions: DataFrame, found: DataFrame) -> None:
    space = small_space()
    rows = evaluation(impressions, found, space, "all").toPandas()
    berlin = rows["impression_time"].dt.tz_localize("UTC").dt.tz_convert(space.time_zone).dt.date.astype(str)
    ranges = {"validation": ("2024-02-01", "2024-02-07"), "test": ("2024-02-10", "2024-02-16")}
    assert set(rows["split"]) == set(ranges)
    for split, (first, last) in ranges.items():
        days = berlin[rows["split"] == split]
        assert (days.min(), days.max()) == (first, last)
        assert len(days) == 7 * 72
    assert set(rows["window"]) == {"7d"}
    joined = rows.merge(found.toPandas(), on="impression_id", how="left")
    search = joined["domain"] == "search"
    expected = (joined["arrival_buy"] <= joined["impression_time"] + DAYS["7d"]).astype(float)
    assert (joined["label_buy"][search] == expected[search]).all()
    assert joined["label_buy"][~search].isna().all()
