"""The unified table: known answers, zeroes where a domain lacks a feature, and no leak from the future."""

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import reduce
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import DataFrame, SparkSession

from pipelines.concatenation import KEYS, memory, unified
from pipelines.event_memory import remembered
from pipelines.spans import Span
from schemas.features import categorical_columns, dense_columns, sequence_columns
from schemas.narrowing import narrowed
from schemas.space import ModelSpace
from tests.pipelines.space import declaration, small_space

NOON = datetime(2024, 1, 10, 12, tzinfo=UTC)
IMPRESSIONS = (
    "impression_id long, domain string, user_id string, item_id string, impression_time timestamp, rank long, "
    "query string"
)
EVENTS = "user_id string, item_id string, event_time timestamp, arrival_time timestamp, seconds double"


def tables(
    spark: SparkSession,
    impressions: list[Any],
    events: list[Any],
    cuts: Sequence[datetime] = (),
    space: ModelSpace | None = None,
) -> DataFrame:
    items = [("a", "film", 2.5), ("b", "song", None)]
    attributes = {"item": spark.createDataFrame(items, "item_id string, kind string, price double")}
    logs = {"views": spark.createDataFrame(events, EVENTS)}
    shown, space = spark.createDataFrame(impressions, IMPRESSIONS), space or small_space()
    parts, past = [], None
    for start, end in pairwise([None, *cuts, None]):
        span = Span(start, end)
        known = memory(logs, attributes, space, span, past)
        parts.append(unified(shown.where(span.holds("impression_time")), known, attributes, space, span))
        if end is not None:
            # Through local data: a plan of plans would grow with every cut.
            past = remembered(known, space, span)
            past = spark.createDataFrame(past.collect(), past.schema)
    return reduce(DataFrame.unionByName, parts)


def test_a_space_of_some_features_has_their_values_alone(spark: SparkSession) -> None:
    """Also one that remembers nothing."""
    impressions = [(1, "feed", "u", "a", NOON, 3, None), (2, "search", "u", "b", NOON, None, "x")]
    events = [("u", "a", day(0.5), day(0.5), 10.0), ("u", "a", day(3), day(3), 30.0)]
    whole = tables(spark, impressions, events).orderBy("impression_id").toPandas()
    for names in (["user", "hour"], ["rank"], ["pair_seconds_all", "taste_count_all", "views"], []):
        space = narrowed(small_space(), names)
        part = tables(spark, impressions, events, space=space).orderBy("impression_id").toPandas()
        columns = [name for name in whole.columns if name in {*KEYS, *names} or name.split("_")[0] in names]
        assert list(part.columns) == columns
        pd.testing.assert_frame_equal(part, whole[columns])


def day(n: float) -> datetime:
    return NOON - timedelta(days=n)


def test_known_answer(spark: SparkSession) -> None:
    impressions = [(1, "feed", "u", "a", NOON, 3, None), (2, "search", "u", "c", NOON, None, "x")]
    events = [
        ("u", "a", day(0.5), day(0.5), 10.0),
        ("u", "a", day(3), day(3), 30.0),
        ("u", "b", day(2), day(2), 5.0),
        ("u", "a", NOON, NOON, 99.0),
    ]
    rows = {row["impression_id"]: row for row in tables(spark, impressions, events).collect()}
    feed, search = rows[1], rows[2]
    assert feed["rank"] == 3.0
    assert (feed["price"], search["price"]) == (2.5, None)
    assert (feed["pair_count_1d"], feed["pair_count_all"], feed["pair_seconds_all"]) == (1.0, 2.0, 40.0)
    assert feed["pair_recency"] == 0.5
    assert feed["dwell"] == 20.0
    assert feed["taste_count_all"] == 2.0
    # What a domain lacks is zero; what it has and nobody knows is null.
    assert (search["rank"], feed["query"]) == (0.0, 0)
    assert (search["pair_count_all"], search["dwell"], search["taste_count_all"]) == (0.0, None, None)
    assert search["kind"] == 0
    assert feed["views_seconds"] == b""
    assert np.frombuffer(search["views_seconds"], "<f4").tolist() == [10.0, 5.0, 30.0]
    assert np.frombuffer(search["views_age"], "<f4").tolist() == [0.5, 2.0, 3.0]


def test_has_exactly_the_declared_columns(spark: SparkSession) -> None:
    space = small_space()
    declared = [*KEYS, *(c.name for c in categorical_columns(space)), *(c.name for c in dense_columns(space))]
    declared += [column for sequence in sequence_columns(space) for column in sequence.columns]
    assert tables(spark, [(1, "feed", "u", "a", NOON, 1, None)], []).columns == declared


def test_several_ledgers_give_what_each_gives_alone(spark: SparkSession, timeline: tuple[list[Any], list[Any]]) -> None:
    """Those of no user are packed on their way to the users', or to the last one; what is unknown stays so."""
    declared = {
        "film": {"events": "views", "keys": ["item_id"], "horizons": ["1d", "all"], "sums": ["seconds"], "gap": True},
        "genre": {"events": "views", "keys": ["item.kind"], "gap": True},
        "pair": {"events": "views", "keys": ["user_id", "item_id"], "sums": ["seconds"]},
    }

    def found(*names: str, **features: Any) -> pd.DataFrame:
        content = declaration()
        content["features"] |= {"history": {name: declared[name] for name in names}, "ratio": {}, **features}
        space = ModelSpace.model_validate(content)
        # Few events, of two items: of the third, and of the third's kind, nothing is known.
        impressions, events = timeline
        kept = [event for event in events[::5] if event[1] != "c"]
        return tables(spark, impressions, kept, space=space).orderBy("impression_id").toPandas()

    whole, without_users = found(*declared), found("film", "genre", sequence={})
    assert whole["genre_recency"].isna().any() and whole["film_gap"].notna().any()
    for name in declared:
        alone = found(name, sequence={})
        columns = [column for column in alone.columns if column.startswith(f"{name}_")]
        pd.testing.assert_frame_equal(alone[columns], whole[columns])
        if name != "pair":
            pd.testing.assert_frame_equal(alone[columns], without_users[columns])
    assert not [column for column in whole.columns if column.startswith("_")]


@pytest.fixture(scope="module")
def timeline() -> tuple[list[Any], list[Any]]:
    """Impressions and events of a few users and items over twenty days, with ties between them."""
    choose = random.Random(7)
    moments = [day(choose.randrange(0, 40) / 2) for _ in range(60)]
    impressions = [
        (n, choose.choice(["feed", "search"]), choose.choice("uvw"), choose.choice("abc"), moment, 1, "q")
        for n, moment in enumerate(moments)
    ]
    events = []
    for _ in range(150):
        moment = choose.choice(moments)
        late = timedelta(days=choose.choice([0, 0, 1]))
        events.append((choose.choice("uvw"), choose.choice("abc"), moment, moment + late, choose.random()))
    return impressions, events


def test_nothing_from_the_impression_on_changes_its_features(
    spark: SparkSession, timeline: tuple[list[Any], list[Any]]
) -> None:
    impressions, events = timeline
    cut = day(8)
    before = [event for event in events if event[3] < cut]
    # From the cut on everything is different: other users, items, values, and more of them.
    after = [("u", "b", cut, cut, 1e6)] * 5 + [(e[1], e[0], e[2], e[3], -e[4]) for e in events if e[3] >= cut]
    known = [i for i in impressions if i[4] <= cut]
    assert len(known) > 20
    assert 20 < len(before) < len(events)

    def features(all_events: list[Any], all_impressions: list[Any]) -> list[Any]:
        rows = tables(spark, all_impressions, all_events).collect()
        return sorted((row for row in rows if row["impression_time"].replace(tzinfo=UTC) <= cut), key=lambda r: r[0])

    assert features(events, impressions) == features(before + after, known)


def test_order_and_partitioning_change_nothing(spark: SparkSession, timeline: tuple[list[Any], list[Any]]) -> None:
    impressions, events = timeline
    rows = sorted(tables(spark, impressions, events).collect())
    turned = tables(spark, impressions[::-1], events[::-1]).repartition(5).collect()
    assert rows == sorted(turned)


def test_spans_that_follow_each_other_give_what_one_gives(
    spark: SparkSession, timeline: tuple[list[Any], list[Any]]
) -> None:
    impressions, events = timeline
    cuts = [day(17), day(11.25), day(3)]
    assert sorted(tables(spark, impressions, events, cuts).collect()) == sorted(
        tables(spark, impressions, events).collect()
    )
