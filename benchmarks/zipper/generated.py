"""A made-up space whose drift and delays are known: items rise and fall, and conversions come late.

The log-odds of a conversion are those of the user's and the item's tastes, which stay, and of the item's standing,
which wanders: a stationary process with standard deviation ``_STANDING`` that forgets with the time ``drift`` (days;
infinite: it never changes). Delays are exponential and depend on nothing.

Shapes: R impressions, U users, I items, T days, k tastes.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
from pyspark.sql import SparkSession

from benchmarks.zipper.stream import UNIFORM, Doubles, Longs, Stream
from pipelines.zipper import assign_window
from schemas.duration import parse_duration
from schemas.manifest import CategoricalInput, DenseInput, Normaliser, ObjectiveLabel, TrainingManifest

WINDOWS = ("1d", "7d", "28d")
WEIGHTS: Mapping[str, tuple[int, ...]] = {
    UNIFORM: (1, 1, 1),
    "1:1:2": (1, 1, 2),
    "1:1:6": (1, 1, 6),
    "1:4:1": (1, 4, 1),
    "4:1:1": (4, 1, 1),
}
_USERS, _ITEMS, _TASTES = 1_000, 100, 4
_STANDING = 1.0
_BASE = -2.0
_START = datetime(2024, 1, 1, tzinfo=UTC)


def generated(
    spark: SparkSession, *, drift: float, delay: float, days: int, shown_a_day: int, seed: int
) -> Stream:  # fmt: skip
    """A stream; ``delay`` is the mean time (days) from an impression to its conversion."""
    random = np.random.default_rng(seed)
    rows = days * shown_a_day
    shown_R = np.sort(random.uniform(0, days, rows))
    user_R, item_R = random.integers(_USERS, size=rows), random.integers(_ITEMS, size=rows)
    tastes_Uk, tastes_Ik = (random.normal(0, 0.5, (count, _TASTES)) for count in (_USERS, _ITEMS))
    standing_R = _standing(random, drift, days)[shown_R.astype(np.int64), item_R]
    logit_R = _BASE + (tastes_Uk[user_R] * tastes_Ik[item_R]).sum(1) + standing_R
    # Of a conversion at any time; within the longest window it is a little less likely.
    ever_R = 1 / (1 + np.exp(-logit_R))
    windows = tuple(parse_duration(window) / timedelta(days=1) for window in WINDOWS)
    delay_R = np.where(random.random(rows) < ever_R, random.exponential(delay, rows), np.inf)
    delay_R[delay_R > windows[-1]] = np.inf
    hashes_RC = np.stack([1 + user_R, 1 + item_R], axis=1)
    return Stream(
        started=_START.date(),
        manifest=_manifest(),
        arrays={
            "domain": np.zeros(rows, np.int64),
            "window": np.zeros(rows, np.int64),
            "categorical": hashes_RC,
            "dense": tastes_Uk[user_R][:, :2].astype(np.float32),
            "weight": np.ones(rows, np.float32),
            "labels": np.zeros((rows, 1), np.float32),
        },
        shown_R=shown_R,
        delay_R=delay_R,
        windows=windows,
        assigned=assigned(spark, user_R, item_R, shown_R),
        probability_R=ever_R * (1 - np.exp(-windows[-1] / delay)),
    )


def assigned(spark: SparkSession, user_R: Longs, item_R: Longs, shown_R: Doubles) -> dict[str, Longs]:
    """The Zipper's window of each impression under all weights: positions among ``WINDOWS``."""
    micros = (shown_R * 86_400e6).astype(np.int64) + int(_START.timestamp() * 1e6)
    keys = pd.DataFrame({"row": np.arange(shown_R.size), "user": user_R, "item": item_R, "at": micros})
    impressions = spark.createDataFrame(keys).selectExpr(
        "row", "CAST(user AS STRING) AS user_id", "CAST(item AS STRING) AS item_id",
        "timestamp_micros(at) AS impression_time",
    )  # fmt: skip
    found = {}
    for name, weights in WEIGHTS.items():
        windows = assign_window(impressions, WINDOWS, weights).select("row", "window").toPandas()
        ordered = windows.sort_values("row")["window"]
        found[name] = ordered.map({window: place for place, window in enumerate(WINDOWS)}).to_numpy(np.int64)
    return found


def _standing(random: np.random.Generator, drift: float, days: int) -> Doubles:
    """(T, I): an Ornstein-Uhlenbeck process, day by day."""
    kept = np.exp(-1 / drift)
    values = [random.normal(0, _STANDING, _ITEMS)]
    for _ in range(days - 1):
        values.append(kept * values[-1] + np.sqrt(1 - kept**2) * random.normal(0, _STANDING, _ITEMS))
    return np.array(values)


def _manifest() -> TrainingManifest:
    domains, dense = ("feed",), ("taste_0", "taste_1")
    plain = Normaliser(mean=0.0, std=0.35, quantiles=(-1.5, 0.0, 1.5), known=1.0)
    return TrainingManifest(
        space="generated",
        group="all",
        domains=domains,
        windows=WINDOWS,
        objectives=(
            ObjectiveLabel(name="conversion", column="label_conversion", windows=WINDOWS, domains=domains),
        ),
        categorical=(
            CategoricalInput(name="user", column="user", id_space="user", size=_USERS + 1, domains=domains),
            CategoricalInput(name="item", column="item", id_space="item", size=_ITEMS + 1, domains=domains),
        ),
        dense=tuple(DenseInput(name=name, column=name, domains=domains) for name in dense),
        sequences=(),
        normalisers={"test": dict.fromkeys(dense, plain)},
        cuts={"test": _START},
        tables={},
        fingerprint="generated",
    )  # fmt: skip
