"""From a source's tables to the space's: ``impressions`` and ``feedback`` of all domains, each in one frame."""

from collections.abc import Mapping
from datetime import timedelta
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pipelines.ids import impression_id
from pipelines.labels import night_after
from pipelines.spans import EVER, Span
from schemas.duration import microseconds
from schemas.errors import LatticeError
from schemas.space import ModelSpace


def all_impressions(impressions: Mapping[str, DataFrame], space: ModelSpace) -> DataFrame:
    """One row an impression: its keys, then every column that any domain declares (null where one lacks it)."""
    parts = [
        rows.select(
            impression_id(F.lit(domain), F.col("source_key")).alias("impression_id"),
            F.lit(domain).alias("domain"),
            "user_id",
            "item_id",
            "impression_time",
            "arrival_time",
            "source_key",
            *space.domains[domain].columns,
        )
        for domain, rows in impressions.items()
    ]
    return reduce(lambda one, other: one.unionByName(other, allowMissingColumns=True), parts)


def all_feedback(
    feedback: Mapping[str, DataFrame], impressions: DataFrame, space: ModelSpace, span: Span = EVER
) -> DataFrame:
    """One row a feedback that arrived in a span: its objective, keys and times, and the impression it answers, if any.

    ``answered_time`` is that impression's time; null where no such impression was known by the end of the (UTC) day on
    which the feedback arrived, or it is so old that no label can depend on the answer. ``origin`` is the domain that
    the feedback was recorded in, where its source says so.
    """
    memory = _memory(space)
    parts = [
        rows.select(
            F.lit(objective).alias("objective"),
            "user_id",
            "item_id",
            "feedback_time",
            "arrival_time",
            _answered_id(F.col("domain"), F.col("source_key")).alias("impression_id"),
            "value",
            F.col("domain").alias("origin"),
        )
        for objective, rows in ((name, rows.where(span.holds("arrival_time"))) for name, rows in feedback.items())
    ]
    rows = reduce(DataFrame.unionByName, parts)
    # impression_id is unique there (a suite holds it): the join keeps the number of rows.
    recent = impressions.where(answerable(space, span).holds("impression_time"))
    answered = recent.select("impression_id", F.col("impression_time").alias("answered_time"))
    is_recent = F.unix_micros("arrival_time") - F.unix_micros("answered_time") <= microseconds(memory)
    # The night of that day knew no later impression; a whole build must not know more.
    is_known = F.col("answered_time") < night_after("arrival_time")
    return rows.join(answered, on="impression_id", how="left").select(
        "objective",
        "user_id",
        "item_id",
        "feedback_time",
        "arrival_time",
        "impression_id",
        F.when(is_recent & is_known, F.col("answered_time")).alias("answered_time"),
        "value",
        "origin",
    )


def answerable(space: ModelSpace, span: Span) -> Span:
    """When the impressions were shown that feedback which arrives in a span can answer."""
    return Span(span.start and span.start - _memory(space), None)


def _memory(space: ModelSpace) -> timedelta:
    longest = max((w for objective in space.objectives.values() for w in objective.windows), default=timedelta(0))
    return longest + timedelta(days=1)


def check_feedback_follows(impressions: DataFrame, feedback: DataFrame) -> None:
    """Refuse an objective all of whose feedback comes before the first impression: its clock or unit must be wrong.

    Single rows before the first impression are history, and fine.
    """
    first = impressions.agg(F.min("impression_time").alias("first"))
    last = feedback.groupBy("objective").agg(F.max("feedback_time").alias("last"))
    early = last.crossJoin(F.broadcast(first)).where("last < first").orderBy("objective").take(1)
    if early:
        row = early[0]
        raise LatticeError(
            f"feedback of objective '{row['objective']}'",
            f"All of it comes before any impression: the last is of {row['last']} UTC, "
            f"the first impression of {row['first']} UTC.",
            "Check the time columns' zones and units in the space file.",
        )


def _answered_id(domain: Column, source_key: Column) -> Column:
    return F.when(domain.isNotNull() & source_key.isNotNull(), impression_id(domain, source_key))
