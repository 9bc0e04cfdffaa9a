"""The training layout: packed sequences, positions, and an order that depends on ids alone."""

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from pipelines.layout import inputs, labels, packed
from pipelines.normalisers import available_before, fit_normalisers, fitted_to, resampled, sampled
from tests.pipelines.space import small_space

NOON = datetime(2024, 1, 10, 12)


def zipped_rows(spark: SparkSession, count: int = 200) -> DataFrame:
    data: list[Any] = []
    for n in range(count):
        length = n % 4  # 0 to 3, the space's longest
        events = np.array([10 * n + place for place in range(length)], dtype="<f4").tobytes()
        data.append(
            (
                n, "feed" if n % 2 else "search", f"u{n}", "a", NOON, "1d" if n % 3 else "7d", NOON + timedelta(days=7),
                1.0 if n % 5 == 0 else None, 0.0, n, n + 1, n + 2, n + 3, float(n), None if n % 7 == 0 else -1.5,
                *[float(n)] * 6, 0.5, np.arange(n, n + length, dtype="<i8").tobytes(), events, events,
            )
        )  # fmt: skip
    dense = (
        "rank price pair_count_1d pair_seconds_1d pair_count_all pair_seconds_all pair_recency taste_count_all dwell"
    )
    schema = (
        "impression_id long, domain string, user_id string, item_id string, impression_time timestamp, window string, "
        "available_time timestamp, label_click float, label_buy float, user long, kind long, query long, hour long, "
        + "".join(f"{name} float, " for name in dense.split())
        + "views_kind binary, views_seconds binary, views_age binary"
    )
    return spark.createDataFrame(data, schema)


def test_sequences_are_padded(spark: SparkSession) -> None:
    rows = packed(zipped_rows(spark), small_space(), "all", 1).toPandas()
    for _, row in rows.iterrows():
        n, length = row["impression_id"], row["impression_id"] % 4
        ids = np.frombuffer(row["views_kind"], dtype="<i8")
        numbers = np.frombuffer(row["views_seconds"], dtype="<f4")
        assert row["views_length"] == length
        assert ids.tolist() == [*range(n, n + length), *[0] * (3 - length)]
        assert numbers.tolist() == [*(float(10 * n + place) for place in range(length)), *[0.0] * (3 - length)]


def test_positions_stand_for_names(spark: SparkSession) -> None:
    rows = packed(zipped_rows(spark), small_space(), "all", 1).toPandas()
    n = rows["impression_id"]
    assert (rows["domain_index"] == np.where(n % 2, 0, 1)).all()
    assert (rows["window_index"] == np.where(n % 3, 0, 1)).all()
    unknown = packed(zipped_rows(spark).withColumn("window", F.lit(None)), small_space(), "all", 1)
    assert unknown.select("window_index").distinct().collect() == [(-1,)]


def test_the_manifest_names_columns_that_are_there(spark: SparkSession) -> None:
    space = small_space()
    rows = packed(zipped_rows(spark), space, "all", 1)
    categorical, dense, sequences = inputs(space, "all")
    columns = [*(f.column for f in categorical), *(f.column for f in dense)]
    for sequence in sequences:
        columns += [sequence.length_column, *(i.column for i in sequence.ids), *(n.column for n in sequence.dense)]
    columns += [label.column for label in labels(space, "all")]
    assert set(columns) <= set(rows.columns)
    assert len(columns) == len(set(columns))
    assert [f.domains for f in dense if f.name == "rank"] == [("feed",)]


def test_order_depends_on_ids_alone(spark: SparkSession) -> None:
    frame = zipped_rows(spark)
    orders = [
        [row["impression_id"] for row in packed(rows, small_space(), "all", 2).collect()]
        for rows in (frame, frame.repartition(7), frame.orderBy(F.desc("impression_id")))
    ]
    assert orders[0] == orders[1] == orders[2]
    assert orders[0] != sorted(orders[0])


def test_a_sample_that_grows_is_the_sample_of_all_rows(spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.normalisers.SAMPLE", 60)
    space = small_space()
    rows = packed(zipped_rows(spark), space, "all", 1).cache()
    dense, domains = inputs(space, "all")[1], space.group_domains("all")
    early, late = (rows.where(f"impression_id % 3 {sign} 0") for sign in ("!=", "="))
    before = sampled(early, 130, dense)
    grown = pa.concat_tables([resampled(before, 200), sampled(late, 200, dense)])
    assert 30 < grown.num_rows < before.num_rows + 40
    cut = datetime(2100, 1, 1, tzinfo=UTC)
    assert fitted_to(available_before(grown, cut), dense, domains) == fit_normalisers(rows, 200, dense, domains)
    nothing = available_before(grown, datetime(2000, 1, 1, tzinfo=UTC))
    assert nothing.num_rows == 0
    assert fitted_to(nothing, dense, domains)["rank"].quantiles == (0.0,)


def test_normalisers_are_of_a_features_own_domains(spark: SparkSession) -> None:
    space = small_space()
    rows = packed(zipped_rows(spark), space, "all", 1)
    _, dense, _ = inputs(space, "all")
    fitted = fit_normalisers(rows, 200, dense, space.group_domains("all"))
    ranks = np.arange(1, 200, 2, dtype=float)  # rank exists in feed alone, the odd ones
    logged = np.log1p(ranks)
    assert np.allclose([fitted["rank"].mean, fitted["rank"].std], [logged.mean(), logged.std()])
    assert (fitted["rank"].quantiles[0], fitted["rank"].quantiles[-1]) == (1.0, 199.0)
    assert fitted["price"].known == np.mean(np.arange(200) % 7 != 0)
    assert fitted["price"].quantiles == (-1.5,)
    assert fitted["price"].std == 1.0
