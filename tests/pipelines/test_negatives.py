"""Negative downsampling: what is kept, what it weighs, and that sums over all rows are kept in expectation."""

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError
from pyspark.sql import DataFrame, SparkSession

from pipelines.negatives import downsampled
from pipelines.normalisers import fit_normalisers
from schemas.manifest import DenseInput
from schemas.references import BadReference
from schemas.space import ModelSpace
from tests.pipelines.space import declaration


def _space(negatives: dict[str, float]) -> ModelSpace:
    declared = declaration()
    declared["groups"]["all"]["negatives"] = negatives
    return ModelSpace.model_validate(declared)


@pytest.fixture(scope="module")
def rows(spark: SparkSession) -> DataFrame:
    """A tenth positive by click, every third by buy where that has a label (search only); some have no label."""
    return spark.range(20_000).selectExpr(
        "id AS impression_id",
        "IF(id % 2 = 0, 'feed', 'search') AS domain",
        "CAST(IF(id % 7 = 0, NULL, IF(id % 10 = 3, 1, 0)) AS FLOAT) AS label_click",
        "CAST(IF(id % 2 = 0, NULL, IF(id % 3 = 0, 1, 0)) AS FLOAT) AS label_buy",
    )


def _pandas(rows: DataFrame) -> pd.DataFrame:
    return rows.toPandas().set_index("impression_id").sort_index()


def test_positives_stay_and_negatives_stand_for_those_left_out(rows: DataFrame) -> None:
    every, kept = _pandas(rows), _pandas(downsampled(rows, _space({"feed": 0.25}), "all"))
    positive = (every["label_click"] == 1) | (every["label_buy"] == 1)
    assert set(every.index[positive | (every["domain"] == "search")]) <= set(kept.index)
    negatives = kept[~positive[kept.index] & (kept["domain"] == "feed")]
    assert set(negatives["weight"]) == {4.0}
    assert set(kept.drop(negatives.index)["weight"]) == {1.0}
    wanted = (~positive & (every["domain"] == "feed")).sum()
    # Four standard deviations of a binomial share.
    assert len(negatives) == pytest.approx(wanted / 4, abs=4 * np.sqrt(wanted * 0.25 * 0.75))


def test_a_smaller_share_keeps_a_part_of_a_larger_one_whatever_the_partitions(rows: DataFrame) -> None:
    large = _pandas(downsampled(rows, _space({"feed": 0.5, "search": 0.5}), "all"))
    small = _pandas(downsampled(rows.repartition(7), _space({"feed": 0.1, "search": 0.1}), "all"))
    assert set(small.index) < set(large.index)
    again = _pandas(downsampled(rows.orderBy("domain"), _space({"feed": 0.1, "search": 0.1}), "all"))
    pd.testing.assert_frame_equal(small, again)


def test_without_shares_every_row_stays_and_stands_for_itself(rows: DataFrame) -> None:
    kept = _pandas(downsampled(rows, _space({}), "all"))
    assert len(kept) == 20_000
    assert set(kept["weight"]) == {1.0}


def test_normalisers_are_those_of_all_rows(spark: SparkSession) -> None:
    """Half of the negatives, which lie elsewhere than the positives, weigh twice: the whole is found again."""
    rng = np.random.default_rng(0)
    positives, negatives = rng.normal(5.0, 1.0, 4_000), rng.normal(-2.0, 0.5, 8_000)
    feature = DenseInput(name="x", column="x", domains=("feed",))

    def fitted(values: NDArray[np.float64], weights: NDArray[np.float64]) -> tuple[float, ...]:
        frame = pd.DataFrame(
            {
                "impression_id": np.arange(values.size),
                "available_time": pd.Timestamp("2024-01-02", tz="UTC"),
                "domain_index": np.zeros(values.size, np.int32),
                "weight": weights.astype(np.float32),
                "x": values.astype(np.float32),
            }
        )
        found = fit_normalisers(spark.createDataFrame(frame), values.size, (feature,), ("feed",))["x"]
        return found.mean, found.std, *np.interp([0.1, 0.3, 0.5, 0.9], np.linspace(0, 1, 65), found.quantiles)

    every = fitted(np.concatenate([positives, negatives]), np.ones(12_000))
    half = fitted(np.concatenate([positives, negatives[::2]]), np.repeat([1.0, 2.0], 4_000))
    assert half == pytest.approx(every, abs=0.05)
    unweighted = fitted(np.concatenate([positives, negatives[::2]]), np.ones(8_000))
    assert unweighted[0] != pytest.approx(every[0], abs=0.05)


def test_a_share_outside_0_to_1_or_an_unknown_domain_is_refused() -> None:
    for share in (0.0, 1.5, -1.0):
        with pytest.raises(ValidationError, match="negatives"):
            _space({"feed": share})
    with pytest.raises((ValidationError, BadReference), match="unknown domain 'home'"):
        _space({"home": 0.5})
