"""Labels against the contract, computed row by row in Python."""

from datetime import timedelta
from functools import reduce
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from pipelines.labels import outcomes, windowed_label
from schemas.space import Objective
from tests.pipelines import timelines as tl

WINDOWS = {"6h": 6, "1d": 24}
OBSERVED_HOURS = (5, 80)


def objective(attribution: str = "every", match: str = "user_item", **more: object) -> Objective:
    return Objective.model_validate(
        {
            "domains": ("d",),
            "windows": tuple(WINDOWS),
            "attribution": attribution,
            "match": match,
            "observed": {"from": tl.at(OBSERVED_HOURS[0]), "to": tl.at(OBSERVED_HOURS[1])},
            **more,
        }
    )


def labels(
    spark: SparkSession, impressions: tl.Impressions, feedback: tl.Events, declared: Objective
) -> dict[Any, Any]:
    shown = tl.impression_frame(spark, impressions)
    found = outcomes(shown, tl.feedback_frame(spark, feedback, "buy"), {"buy": declared})
    assert found.groupBy("impression_id").count().where("count > 1").count() == 0
    joined = shown.join(
        found.drop(*(c for c in shown.columns if c != "impression_id")), on="impression_id", how="left"
    ).select(
        "impression_id",
        *(windowed_label("buy", declared, timedelta(hours=h)).alias(w) for w, h in WINDOWS.items()),
    )
    return {r["impression_id"]: (r["6h"], r["1d"]) for r in joined.collect()}


def credited(
    user: str, item: str, hour: int, impressions: tl.Impressions, feedback: tl.Events, last: bool
) -> tl.Events:
    times = {i[2] for i in impressions if i[:2] == (user, item)}
    answers = [f for f in feedback if f[:2] == (user, item) and f[2] > hour]
    # With 'last', no other impression of the pair may lie strictly between.
    return [f for f in answers if not last or max(t for t in times if t < f[2]) == hour]


@settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(tl.rows, min_size=40, max_size=200), st.lists(tl.event_rows, min_size=40, max_size=200), st.booleans())
def test_equals_the_contract(spark: SparkSession, impressions: tl.Impressions, feedback: tl.Events, last: bool) -> None:
    found = labels(spark, impressions, feedback, objective("last" if last else "every"))
    for number, (user, item, hour) in enumerate(impressions):
        answers = credited(user, item, hour, impressions, feedback, last)
        for label, length in zip(found[number], WINDOWS.values(), strict=True):
            if hour < OBSERVED_HOURS[0] or hour + length >= OBSERVED_HOURS[1]:
                assert label is None
            else:
                assert label == float(any(time + late <= hour + length for _, _, time, late, _ in answers))


@settings(max_examples=2, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(tl.rows, min_size=40, max_size=100), st.lists(tl.event_rows, min_size=40, max_size=100))
def test_nothing_after_a_window_closed_changes_its_label(
    spark: SparkSession, impressions: tl.Impressions, feedback: tl.Events
) -> None:
    length = WINDOWS["6h"]
    cut = 40
    # Everything that arrives after the cut is another story: other pairs, and more of it.
    changed = [f for f in feedback if f[2] + f[3] <= cut] + [("u", "a", cut + 1, 0, 1), ("v", "b", cut + 2, 0, 1)] * 3
    before, after = (labels(spark, impressions, found, objective()) for found in (feedback, changed))
    closed = [number for number, (_, _, hour) in enumerate(impressions) if hour + length <= cut]
    assert [before[number][0] for number in closed] == [after[number][0] for number in closed]


def test_feedback_at_the_impression_itself_is_not_after_it(spark: SparkSession) -> None:
    assert labels(spark, [("u", "a", 10)], [("u", "a", 10, 0, 0)], objective()) == {0: (0.0, 0.0)}


def test_the_windows_end_is_inside(spark: SparkSession) -> None:
    assert labels(spark, [("u", "a", 10)], [("u", "a", 16, 0, 0)], objective()) == {0: (1.0, 1.0)}


def test_feedback_that_arrives_late_never_counts(spark: SparkSession) -> None:
    assert labels(spark, [("u", "a", 10)], [("u", "a", 12, 5, 0)], objective()) == {0: (0.0, 1.0)}


def test_a_domain_without_the_objective_has_no_label(spark: SparkSession) -> None:
    assert labels(spark, [("u", "a", 10)], [("u", "a", 12, 0, 0)], objective(domains=("other",))) == {0: (None, None)}


@pytest.mark.parametrize("attribution", ["every", "last"])
def test_feedback_of_nobody_credits_no_impression(spark: SparkSession, attribution: str) -> None:
    shown = tl.impression_frame(spark, [("u", "a", 10), ("u", "b", 10)]).withColumn(
        "user_id", F.lit(None).cast("string")
    )
    answers = tl.feedback_frame(spark, [("u", "a", 11, 0, 0)], "buy").withColumn("user_id", F.lit(None).cast("string"))
    assert outcomes(shown, answers, {"buy": objective(attribution)}).count() == 0


def test_keyed_feedback_credits_its_impression_only(spark: SparkSession) -> None:
    shown = tl.impression_frame(spark, [("u", "a", 10), ("u", "a", 10)])
    answers = tl.feedback_frame(spark, [("u", "a", 11, 0, 0)], "buy").withColumn("impression_id", F.lit(1).cast("long"))
    found = outcomes(shown, answers, {"buy": objective(match="impression")})
    assert [(r["impression_id"], r["arrival_buy"]) for r in found.collect()] == [(1, tl.at(11).replace(tzinfo=None))]


def test_each_objective_credits_in_its_own_way_and_an_impression_is_there_once(spark: SparkSession) -> None:
    shown = tl.impression_frame(spark, [("u", "a", 10), ("u", "a", 12), ("u", "b", 10)])
    shown = shown.withColumn("domain", F.when(F.col("item_id") == "b", "other").otherwise("d"))
    answers = [
        # (objective, hour, hours until arrival, impression)
        ("every", 14, 9, None), ("every", 16, 0, None), ("last", 14, 0, None),
        # The first is as late as the impression itself, the second arrives after the third.
        ("named", 10, 0, 0), ("named", 12, 9, 0), ("named", 15, 1, 0), ("named", 15, 0, 2),
        ("click", 9, 1, 1), ("click", 9, 2, 1), ("click", 9, 0, 2), ("click", 9, 0, None),
    ]  # fmt: skip
    feedback = reduce(
        DataFrame.unionByName,
        (
            tl.feedback_frame(spark, [("u", "a", hour, late, 0)], name).withColumn(
                "impression_id", F.lit(named).cast("long")
            )
            for name, hour, late, named in answers
        ),
    )
    declared = {
        "every": objective(),
        "last": objective("last"),
        "named": objective(match="impression"),
        "click": objective(match="impression", windows=()),
    }
    found = outcomes(shown, feedback, declared).orderBy("impression_id").collect()
    arrived = {row["impression_id"]: tuple(row[f"arrival_{name}"] for name in declared) for row in found}
    at = {hour: tl.at(hour).replace(tzinfo=None) for hour in (10, 14, 16)}
    assert arrived == {0: (at[16], None, at[16], None), 1: (at[16], at[14], None, at[10])}
    assert len(found) == 2
