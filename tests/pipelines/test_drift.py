"""What changed between two nights, and whether chance explains it."""

import math

import pytest
from pyspark.sql import SparkSession

from pipelines.drift import compared, profile
from schemas.quality import DomainProfile, Measure, Moments, Profile
from schemas.space import Drift, Thresholds

DRIFT = Drift(
    positive_rate=Thresholds(warn=0.2, stop=1.0), mean=Thresholds(warn=0.1), null_share=Thresholds(stop=0.3), rows=100
)


@pytest.mark.parametrize("count", [4, None])
def test_the_profile_of_a_few_rows(spark: SparkSession, count: int | None) -> None:
    rows = spark.createDataFrame(
        [("feed", 1.0, 5, 1.0), ("feed", 3.0, 0, None), ("feed", None, 7, 0.0), ("search", 0.0, 0, None)],
        "domain string, x float, id long, label_click float",
    )
    assert profile(rows, ["x", "label_click"], ["id"], count) == Profile(
        domains={
            "feed": DomainProfile(
                rows=3,
                columns={
                    "x": Moments(known=2, mean=2.0, std=1.0),
                    "label_click": Moments(known=2, mean=0.5, std=0.5),
                    "id": Moments(known=2, mean=None, std=None),
                },
            ),
            "search": DomainProfile(
                rows=1,
                columns={
                    "x": Moments(known=1, mean=0.0, std=0.0),
                    "label_click": Moments(known=0, mean=None, std=None),
                    "id": Moments(known=0, mean=None, std=None),
                },
            ),
        }
    )


def of(column: str, moments: Moments, rows: int = 10_000) -> Profile:
    return Profile(domains={"feed": DomainProfile(rows=rows, columns={column: moments})})


def rate(share: float, rows: int = 10_000) -> Profile:
    return of("label_click", Moments(known=rows, mean=share, std=math.sqrt(share * (1 - share))), rows)


def one(before: Profile, now: Profile) -> Measure:
    (found,) = compared(before, now, DRIFT)
    return found


@pytest.mark.parametrize(("now", "level"), [(0.12, "fine"), (0.15, "warn"), (0.3, "stop"), (0.05, "warn")])
def test_a_positive_rate(now: float, level: str) -> None:
    found = one(rate(0.1), rate(now))
    # By hand: the error of a difference of two shares of 10,000 rows each, at the share before.
    error = 0.3 * math.sqrt(2 / 10_000)
    assert found.change == pytest.approx((abs(now - 0.1) - 3 * error) / 0.1)
    assert (found.kind, found.level) == ("positive rate", level)


def test_chance_explains_a_difference_of_three_errors() -> None:
    assert compared(rate(0.1), rate(0.1 + 2.9 * 0.3 * math.sqrt(2 / 10_000)), DRIFT) == ()
    assert compared(rate(0.1, 99), rate(0.9, 99), DRIFT) == ()


def test_a_mean_is_measured_in_standard_deviations() -> None:
    before, now = (of("x", Moments(known=10_000, mean=mean, std=2.0)) for mean in (1.0, 2.0))
    found = one(before, now)
    assert found.change == pytest.approx((1 - 3 * 2 * math.sqrt(2 / 10_000)) / 2)
    assert (found.kind, found.level) == ("mean", "warn")


def test_rounding_is_no_change() -> None:
    before, now = (of("x", Moments(known=10_000, mean=mean, std=0.0)) for mean in (0.1, 0.1 + 1e-15))
    assert compared(before, now, DRIFT) == ()


def test_what_never_varied_and_changes_is_beyond_any_limit() -> None:
    before, now = (of("x", Moments(known=10_000, mean=mean, std=0.0)) for mean in (1.0, 2.0))
    assert one(before, now).change == math.inf


def test_a_feature_that_is_lost_is_a_null_share() -> None:
    before, now = (of("id", Moments(known=known, mean=None, std=None)) for known in (10_000, 4_000))
    found = one(before, now)
    assert (found.kind, found.before, found.level) == ("null share", 0.0, "stop")
    assert found.now == pytest.approx(0.6)


def test_the_largest_change_comes_first() -> None:
    columns = {"a": Moments(known=10_000, mean=0.0, std=1.0), "b": Moments(known=10_000, mean=0.0, std=1.0)}
    moved = {name: part.model_copy(update={"mean": 1.0 + (name == "b")}) for name, part in columns.items()}
    before, now = (Profile(domains={"feed": DomainProfile(rows=10_000, columns=part)}) for part in (columns, moved))
    assert [measure.column for measure in compared(before, now, DRIFT)] == ["b", "a"]
