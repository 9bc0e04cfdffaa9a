"""``zipped`` and ``evaluation`` against the contract."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F

from pipelines.attribution import available_outcomes, evaluation, longest_window, lookahead, zipped
from pipelines.labels import outcomes
from pipelines.late import late_feedback
from pipelines.spans import Span
from pipelines.zipper import group_window
from tests.pipelines.space import OBSERVED, small_space

END = datetime.fromisoformat(OBSERVED["to"])
DAYS = {"1d": timedelta(days=1), "7d": timedelta(days=7)}


@pytest.fixture(scope="module")
def impressions(spark: SparkSession) -> DataFrame:
    """One impression every 20 minutes over the observed two months and some days before and after."""
    rows = spark.range(4_800).select(
        F.col("id").alias("impression_id"),
        F.when(F.col("id") % 2 == 0, "feed").otherwise("search").alias("domain"),
        F.concat(F.lit("u"), F.col("id") % 7).alias("user_id"),
        F.concat(F.lit("i"), F.col("id") % 5).alias("item_id"),
        (F.lit(datetime(2023, 12, 28, tzinfo=UTC)) + F.make_interval(mins=F.col("id").cast("int") * 20)).alias(
            "impression_time"
        ),
    )
    return group_window(rows, small_space(), "all").cache()


@pytest.fixture(scope="module")
def feedback(impressions: DataFrame) -> DataFrame:
    delay = F.make_interval(hours=(F.col("impression_id") % 200).cast("int") + 1)
    late = F.make_interval(hours=F.when(F.col("impression_id") % 5 == 0, 12).otherwise(0))
    buys = impressions.where("impression_id % 3 = 0").select(
        F.lit("buy").alias("objective"),
        "user_id",
        "item_id",
        (F.col("impression_time") + delay).alias("feedback_time"),
        # Every fifth is known half a day after it happened.
        (F.col("impression_time") + delay + late).alias("arrival_time"),
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
    return buys.unionByName(clicks).cache()


@pytest.fixture(scope="module")
def found(impressions: DataFrame, feedback: DataFrame) -> DataFrame:
    found = outcomes(impressions, feedback, dict(small_space().objectives))
    return found.drop(*(column for column in impressions.columns if column != "impression_id")).cache()


ALL = Span(None, END)


@pytest.fixture(scope="module")
def known(impressions: DataFrame, feedback: DataFrame) -> DataFrame:
    return available_outcomes(impressions, feedback, small_space(), "all", ALL).cache()


def test_zipped_holds_what_was_available_each_once(impressions: DataFrame, known: DataFrame) -> None:
    rows = zipped(impressions, known, small_space(), "all", ALL).toPandas()
    assert rows["impression_id"].is_unique
    assert set(rows["window"]) == {"1d", "7d"}
    lengths = rows["window"].map(DAYS)
    assert (rows["available_time"] == rows["impression_time"] + lengths).all()
    assert rows["available_time"].max() < END.replace(tzinfo=None)
    shown = impressions.where(F.col("impression_time") < F.lit(END - DAYS["7d"])).count()
    assert rows["impression_id"].isin(range(shown)).sum() == shown


def test_zipped_labels_are_those_of_the_assigned_window(
    impressions: DataFrame, found: DataFrame, known: DataFrame
) -> None:
    frame = zipped(impressions, known, small_space(), "all", ALL).join(found, on="impression_id", how="left")
    rows = frame.toPandas()
    start = datetime.fromisoformat(OBSERVED["from"]).replace(tzinfo=None)
    seen = rows["impression_time"] >= start
    assert 0 < seen.sum() < len(rows)
    search = rows["domain"] == "search"
    bought = (rows["arrival_buy"] <= rows["available_time"]).astype(float)
    assert (rows["label_buy"][search & seen] == bought[search & seen]).all()
    assert rows["label_buy"][~(search & seen)].isna().all()
    assert (rows["label_click"][seen] == (rows["impression_id"][seen] % 10 == 0)).all()
    assert rows["label_click"][~seen].isna().all()
    assert 0 < rows["label_buy"].mean() < 1


def test_evaluation_has_the_oracle_label_of_whole_local_days(
    impressions: DataFrame, found: DataFrame, known: DataFrame
) -> None:
    space = small_space()
    rows = evaluation(impressions, known, space, "all", ALL).toPandas()
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


CUTS = [datetime(2024, 1, 3, tzinfo=UTC), datetime(2024, 1, 4, tzinfo=UTC), datetime(2024, 2, 14, tzinfo=UTC)]


def by_spans(impressions: DataFrame, feedback: DataFrame) -> tuple[list[Row], list[Row]]:
    """What ``zipped`` and ``evaluation`` hold if each span's batch sees only what had happened and arrived by then."""
    space = small_space()
    labelled, held = [], []
    for start, end in pairwise([None, *CUTS, END]):
        span = Span(start, end)
        back = longest_window(space, "all")
        seen = Span(start and start - back, end)
        rows, answers = impressions.where(seen.holds("impression_time")), feedback.where(seen.holds("arrival_time"))
        known = available_outcomes(rows, answers, space, "all", span).cache()
        labelled += zipped(rows, known, space, "all", span).collect()
        held += evaluation(rows, known, space, "all", span).collect()
    return sorted(labelled), sorted(held)


def test_spans_that_follow_each_other_give_what_one_gives(
    impressions: DataFrame, feedback: DataFrame, known: DataFrame
) -> None:
    space = small_space()
    labelled, held = by_spans(impressions, feedback)
    assert labelled == sorted(zipped(impressions, known, space, "all", ALL).collect())
    assert held == sorted(evaluation(impressions, known, space, "all", ALL).collect())


def test_parts_of_a_span_give_what_it_gives(impressions: DataFrame, feedback: DataFrame, known: DataFrame) -> None:
    space = small_space()
    rows = []
    for start, end in pairwise([None, *CUTS, None]):
        part = Span(start, end)
        near = lookahead(space, "all", part)
        around, answers = impressions.where(near.holds("impression_time")), feedback.where(near.holds("arrival_time"))
        rows += available_outcomes(around, answers, space, "all", ALL, part).collect()
    assert sorted(rows, key=str) == sorted(known.collect(), key=str)


def test_feedback_that_misses_its_label_is_late(impressions: DataFrame, feedback: DataFrame, known: DataFrame) -> None:
    space = small_space()
    late = late_feedback(impressions, feedback, space, "all", ALL).toPandas()
    # By definition: it happened within the assigned window, and arrived after that had closed.
    rows = impressions.where("domain = 'search'").toPandas()
    pairs = rows.merge(feedback.where("objective = 'buy'").drop("impression_id").toPandas(), on=["user_id", "item_id"])
    closed = pairs["impression_time"] + pairs["window"].map(DAYS)
    inside = (pairs["feedback_time"] > pairs["impression_time"]) & (pairs["feedback_time"] <= closed)
    missed = pairs[inside & (pairs["arrival_time"] > closed) & (pairs["arrival_time"] < END.replace(tzinfo=None))]
    assert len(missed) > 20
    keys = ["impression_id", "arrival_time"]
    assert sorted(map(tuple, late[keys].to_numpy())) == sorted(map(tuple, missed[keys].to_numpy()))
    assert set(late["due_time"] <= late["arrival_time"]) == {True}
