"""The Zipper's assignment: exactly one window each, a function of the signature and the weights alone."""

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest
import xxhash
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from scipy.stats import chi2_contingency, chisquare

from pipelines.zipper import assign_window
from schemas.errors import LatticeError

MICRO = timedelta(microseconds=1)


@pytest.fixture(scope="module")
def impressions(spark: SparkSession) -> DataFrame:
    return spark.range(30_000).select(
        F.col("id").alias("impression_id"),
        F.concat(F.lit("u"), F.col("id") % 97).alias("user_id"),
        F.concat(F.lit("i"), F.col("id") % 31).alias("item_id"),
        F.timestamp_micros(F.lit(1_700_000_000_000_000) + F.col("id") * 7_919_000_000).alias("impression_time"),
    )


def signature(user: str, item: str, time: datetime) -> int:
    """The documented hash by an independent implementation, as a signed number."""
    micros = (time.replace(tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)) // MICRO
    seed = xxhash.xxh64_intdigest(user.encode(), seed=42)
    seed = xxhash.xxh64_intdigest(item.encode(), seed=seed)
    h = xxhash.xxh64_intdigest(micros.to_bytes(8, "little", signed=True), seed=seed)
    return h - (1 << 64) if h >= 1 << 63 else h


def test_uniform_weights_are_m3cs_formula(impressions: DataFrame) -> None:
    windows = ["1d", "7d", "28d"]
    for row in assign_window(impressions, windows).limit(500).collect():
        h, count = signature(row["user_id"], row["item_id"], row["impression_time"]), len(windows)
        chosen = [w for i, w in enumerate(windows, start=1) if (h % count + i) % count == 0]
        assert [row["window"]] == chosen


def test_weights_are_laid_out_from_the_longest(impressions: DataFrame) -> None:
    layout = ["28d"] * 5 + ["7d"] * 2 + ["1d"]
    for row in assign_window(impressions, ["1d", "7d", "28d"], [1, 2, 5]).limit(500).collect():
        assert row["window"] == layout[signature(row["user_id"], row["item_id"], row["impression_time"]) % 8]


def test_each_impression_once_in_the_declared_shares(impressions: DataFrame) -> None:
    rows = assign_window(impressions, ["1d", "7d"], [1, 3]).groupBy("window").count().collect()
    counts = {row["window"]: row["count"] for row in rows}
    assert sum(counts.values()) == 30_000
    # Four standard errors of a binomial share.
    assert abs(counts["1d"] / 30_000 - 0.25) < 4 * (0.25 * 0.75 / 30_000) ** 0.5


def test_the_window_depends_on_nothing_that_is_seen_or_happens(impressions: DataFrame) -> None:
    """By chi-square: the same shares for every hour, user, item, domain, and for what is followed by feedback."""
    rows = assign_window(impressions, ["1d", "7d", "28d"], [1, 2, 2]).toPandas()
    hour = rows["impression_time"].dt.hour
    # A made-up domain and label, both functions of what the window is hashed from.
    domain = (rows["item_id"].str[1:].astype(int) % 3).rename("domain")
    label = ((hour + rows["user_id"].str[1:].astype(int)) % 5 == 0).rename("label")
    for seen in (hour, rows["user_id"], rows["item_id"], domain, label):
        counts = pd.crosstab(seen, rows["window"])
        assert chi2_contingency(counts).pvalue > 0.001, seen.name
    assert chisquare(rows["window"].value_counts()[["1d", "7d", "28d"]], [6_000, 12_000, 12_000]).pvalue > 0.001


def test_the_vectors_of_the_docs(spark: SparkSession) -> None:
    lines = (Path(__file__).parents[2] / "docs" / "contracts.md").read_text().split("weights 2, 2, 1 |")[1].splitlines()
    vectors = [[cell.strip(" `") for cell in line.split("|")[1:-1]] for line in lines[2:] if line]
    assert len(vectors) == 4
    time = datetime(2024, 5, 1, 12, 30, tzinfo=UTC)
    data = [(None if user == "null" else user, item, time) for user, item, *_ in vectors]
    shown = spark.createDataFrame(data, "user_id string, item_id string, impression_time timestamp")
    for column, weights in ((3, [1, 1, 1]), (4, [2, 2, 1])):
        found = assign_window(shown, ["1d", "7d", "28d"], weights).collect()
        assert [row["window"] for row in found] == [vector[column] for vector in vectors]
    for (user, item, moment), vector in zip(data, vectors, strict=True):
        assert signature(user or "\0", item, moment) == int(vector[2])


def test_partitioning_and_order_change_nothing(impressions: DataFrame) -> None:
    def assigned(frame: DataFrame) -> Counter[tuple[int, str]]:
        return Counter(
            (r[0], r[1]) for r in assign_window(frame, ["1d", "7d"]).select("impression_id", "window").collect()
        )

    assert assigned(impressions) == assigned(impressions.repartition(7).orderBy(F.rand(3)))


def test_weights_hold_from_their_date_on(impressions: DataFrame) -> None:
    change = date(2024, 6, 1)
    dated = assign_window(impressions, ["1d", "7d"], {date(2023, 1, 1): [1, 1], change: [1, 9]})
    old = assign_window(impressions, ["1d", "7d"], [1, 1]).select("impression_id", F.col("window").alias("old"))
    new = assign_window(impressions, ["1d", "7d"], [1, 9]).select("impression_id", F.col("window").alias("new"))
    wrong = (
        dated.join(old, on="impression_id", how="inner")
        .join(new, on="impression_id", how="inner")
        .where(
            F.col("window") != F.when(F.col("impression_time") < F.lit(change), F.col("old")).otherwise(F.col("new"))
        )
    )
    assert dated.select("window").distinct().count() == 2
    assert wrong.count() == 0


def test_null_ids_are_a_value_of_their_own(spark: SparkSession) -> None:
    rows = [(None, "a"), ("a", None), (None, None), ("a", "a")]
    frame = spark.createDataFrame(rows, "user_id string, item_id string").withColumn(
        "impression_time", F.lit(datetime(2024, 1, 1))
    )
    windows = [f"{n}d" for n in range(1, 200)]
    assigned = [row["window"] for row in assign_window(frame, windows).collect()]
    assert None not in assigned
    assert len(set(assigned)) == 4


def test_no_windows_give_a_null_window(impressions: DataFrame) -> None:
    assert assign_window(impressions, []).where("window is not null").count() == 0


@pytest.mark.parametrize("windows", [["7d", "1d"], ["1d", "1d"], ["-1d"], ["0d"], ["soon"]])
def test_windows_that_make_no_sense_are_refused(impressions: DataFrame, windows: list[str]) -> None:
    with pytest.raises(LatticeError, match="window"):
        assign_window(impressions, windows)


@pytest.mark.parametrize("weights", [[1], [1, 0], [1, -1], [1, 1.5], {}])
def test_weights_that_do_not_fit_are_refused(impressions: DataFrame, weights: object) -> None:
    with pytest.raises(LatticeError, match="weights"):
        assign_window(impressions, ["1d", "7d"], weights)  # type: ignore[arg-type]
