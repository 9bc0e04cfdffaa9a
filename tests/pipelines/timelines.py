"""Small random timelines of users, items, impressions and events, and their DataFrames."""

from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st
from pyspark.sql import DataFrame, SparkSession

Impressions = list[tuple[str, str, int]]
"""(user, item, hour)."""
Events = list[tuple[str, str, int, int, int]]
"""(user, item, hour, hours until arrival, quantity)."""

START = datetime(2024, 1, 1, tzinfo=UTC)


def at(hours: float) -> datetime:
    return START + timedelta(hours=hours)


# Few users, items and instants, so that ties and repeats are common.
hours = st.integers(0, 72)
rows = st.tuples(st.sampled_from("uv"), st.sampled_from("ab"), hours)
event_rows = st.tuples(st.sampled_from("uv"), st.sampled_from("ab"), hours, st.integers(0, 5), st.integers(0, 3))


def impression_frame(spark: SparkSession, found: Impressions) -> DataFrame:
    data = [(n, "d", user, item, at(hour)) for n, (user, item, hour) in enumerate(found)]
    schema = "impression_id long, domain string, user_id string, item_id string, impression_time timestamp"
    return spark.createDataFrame(data, schema)


def event_frame(spark: SparkSession, found: Events) -> DataFrame:
    """Events of (user, item, hour, hours until arrival, quantity)."""
    data = [(user, item, at(hour), at(hour + late), float(q)) for user, item, hour, late, q in found]
    schema = "user_id string, item_id string, event_time timestamp, arrival_time timestamp, quantity double"
    return spark.createDataFrame(data, schema)


def feedback_frame(spark: SparkSession, found: Events, objective: str) -> DataFrame:
    """Feedback of (user, item, hour, hours until arrival, _), naming no impression."""
    data = [(objective, user, item, at(hour), at(hour + late), None) for user, item, hour, late, _ in found]
    schema = (
        "objective string, user_id string, item_id string, feedback_time timestamp, arrival_time timestamp, "
        "impression_id long"
    )
    return spark.createDataFrame(data, schema)
