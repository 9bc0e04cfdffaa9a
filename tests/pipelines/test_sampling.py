"""Samples: deterministic, nested, and of about the asked size."""

from collections.abc import Mapping

import pytest
from pyspark.sql import DataFrame, SparkSession

from pipelines.sampling import parse_sample, sample_impressions, sample_tables, sample_users
from pipelines.sources.base import SourceTables
from schemas.errors import LatticeError
from schemas.space import Sample
from schemas.space_file import load_space

SPACE = load_space("complete_journey")


@pytest.fixture(scope="module")
def rows(spark: SparkSession) -> DataFrame:
    return spark.range(20_000).selectExpr("CAST(id AS STRING) AS source_key", "CAST(id % 2000 AS STRING) AS user_id")


def _keys(frame: DataFrame, column: str = "source_key") -> set[str]:
    return {row[0] for row in frame.select(column).distinct().collect()}


def test_the_share_is_about_the_rate_and_a_smaller_rate_keeps_a_part_of_a_larger_one(rows: DataFrame) -> None:
    small, large = (_keys(sample_impressions(rows, "feed", rate)) for rate in (0.1, 0.3))
    assert len(small) == pytest.approx(2_000, rel=0.1)
    assert len(large) == pytest.approx(6_000, rel=0.1)
    assert small < large
    assert sample_impressions(rows, "feed", 1.0).count() == 20_000


def test_partitions_and_order_change_nothing(rows: DataFrame) -> None:
    turned = rows.orderBy("source_key").repartition(7)
    assert _keys(sample_impressions(rows, "feed", 0.1)) == _keys(sample_impressions(turned, "feed", 0.1))


def test_domains_are_sampled_independently(rows: DataFrame) -> None:
    feed, search = (_keys(sample_impressions(rows, domain, 0.1)) for domain in ("feed", "search"))
    assert len(feed & search) == pytest.approx(200, rel=0.5)


def test_a_user_is_kept_with_all_rows_or_not_at_all(rows: DataFrame) -> None:
    kept = sample_users(rows, 0.25)
    users = _keys(kept, "user_id")
    assert len(users) == pytest.approx(500, rel=0.2)
    assert kept.count() == 10 * len(users)


def test_by_users_takes_the_same_users_everywhere_and_leaves_attributes_whole(rows: DataFrame) -> None:
    sampled = sample_tables(_tables(rows), Sample(by="users", rate=0.1))
    users = _keys(sample_users(rows, 0.1), "user_id")
    for frames in (sampled.impressions, sampled.feedback, sampled.events):
        assert [_keys(frame, "user_id") for frame in frames.values()] == [users] * len(frames)
    assert sampled.attributes["user"].count() == 20_000


def test_by_impressions_takes_each_domain_at_its_rate_and_leaves_the_rest_whole(rows: DataFrame) -> None:
    sampled = sample_tables(_tables(rows), Sample(by="impressions", rates={"feed": 0.1}))
    assert _keys(sampled.impressions["feed"]) == _keys(sample_impressions(rows, "feed", 0.1))
    whole: list[Mapping[str, DataFrame]] = [sampled.feedback, sampled.events, sampled.attributes]
    assert [frame.count() for frames in whole for frame in frames.values()] == [20_000] * 3
    assert sampled.impressions["search"].count() == 20_000


def _tables(rows: DataFrame) -> SourceTables:
    return SourceTables(
        impressions={"feed": rows, "search": rows},
        feedback={"buy": rows},
        events={"views": rows},
        attributes={"user": rows},
    )


def test_a_sample_is_a_declared_name_or_a_rate() -> None:
    assert parse_sample(SPACE, "demo") == SPACE.samples["demo"]
    assert parse_sample(SPACE, "users=0.1") == Sample(by="users", rate=0.1)
    every = {"coupon": 0.05, "display": 0.05, "mailer": 0.05}
    assert parse_sample(SPACE, "impressions=0.05") == Sample(by="impressions", rates=every)


@pytest.mark.parametrize(
    "text", ["demos", "users", "users=", "users=0", "users=1.5", "users=nan", "impressions=-1", ""]
)
def test_anything_else_is_answered_with_what_is_allowed(text: str) -> None:
    with pytest.raises(LatticeError) as error:
        parse_sample(SPACE, text)
    assert error.value.remedy == (
        f"Allowed: {', '.join(SPACE.samples)}, users=RATE, impressions=RATE, with 0 < RATE <= 1."
    )
