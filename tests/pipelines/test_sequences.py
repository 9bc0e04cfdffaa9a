"""Event sequences against their definition, computed row by row in Python."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from pipelines.ids import hashed_id
from pipelines.sequences import sequence_feature
from schemas.space import Sequence
from tests.pipelines import timelines as tl

LENGTH = 4
DECLARED = Sequence.model_validate(
    {
        "events": "log",
        "length": LENGTH,
        "ids": {"item": {"column": "item_id", "id_space": "item"}},
        "dense": ("quantity",),
    }
)


@settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(tl.rows, min_size=40, max_size=200), st.lists(tl.event_rows, min_size=40, max_size=200))
def test_holds_the_last_events_that_had_arrived(
    spark: SparkSession, impressions: tl.Impressions, events: tl.Events
) -> None:
    ids = spark.createDataFrame([("a",), ("b",)], "item string").select("item", hashed_id("item", F.col("item")))
    hashes = {row[0]: row[1] for row in ids.collect()}
    frame = sequence_feature(
        tl.impression_frame(spark, impressions), tl.event_frame(spark, events), "user_id", "s", DECLARED
    )
    rows = frame.collect()
    assert len(rows) == len({(user, hour) for user, _, hour in impressions})
    for row in rows:
        hour = round((row["impression_time"] - tl.START.replace(tzinfo=None)).total_seconds() / 3600)
        # The order of the definition: by arrival, then by the event's own values (time, id, number).
        seen = sorted(
            (time + late, time, hashes[item], quantity)
            for user, item, time, late, quantity in events
            if user == row["user_id"] and time + late < hour
        )
        newest = sorted([event[1:] for event in seen[-LENGTH:]], reverse=True)
        assert row["s_item"] == [item for _, item, _ in newest]
        assert row["s_quantity"] == [quantity for _, _, quantity in newest]
        assert [round(age * 24) for age in row["s_age"]] == [hour - time for time, _, _ in newest]
