"""What arrived too late to change a published row: kept apart, counted, and never lost silently (DESIGN, Contracts)."""

from collections.abc import Mapping
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pipelines.attribution import own_window_closes
from pipelines.labels import night_after
from pipelines.spans import Span
from schemas.duration import format_duration
from schemas.space import ModelSpace, Objective


def on_time(impressions: DataFrame) -> Column:
    """Whether an impression had arrived by the night of its own day, which publishes it."""
    return F.col("arrival_time") < night_after("impression_time")


def late_impressions(impressions: DataFrame) -> DataFrame:
    """The impressions that are in no other table, because their day had been published without them.

    ``time`` is the impression's (of late feedback: the feedback's); it had to arrive before ``due_time``.
    """
    nothing = F.lit(None).cast("string")
    return impressions.where(~on_time(impressions)).select(
        F.lit("impression").alias("kind"),
        "domain",
        nothing.alias("objective"),
        nothing.alias("window"),
        "impression_id",
        "user_id",
        "item_id",
        F.col("impression_time").alias("time"),
        "arrival_time",
        night_after("impression_time").alias("due_time"),
    )


def is_delayed() -> Column:
    """Whether feedback arrived after it happened: only then can it be late."""
    return F.col("arrival_time") > F.col("feedback_time")


def late_feedback(rows: DataFrame, feedback: DataFrame, space: ModelSpace, group: str, span: Span) -> DataFrame:
    """Feedback that arrived in a span, after a label that it would have made positive was published without it.

    One row a feedback and the impression and window (the assigned one) whose label it missed.
    """
    delayed = feedback.where(span.holds("arrival_time") & is_delayed())
    shown = rows.select("impression_id", "domain", "user_id", "item_id", "impression_time", "window")
    objectives = {name: space.objectives[name] for name in space.group_objectives(group)}
    return reduce(DataFrame.unionByName, _missed(shown, delayed, space, group, objectives))


def _missed(
    rows: DataFrame, delayed: DataFrame, space: ModelSpace, group: str, objectives: Mapping[str, Objective]
) -> list[DataFrame]:
    parts = []
    for name, objective in objectives.items():
        apart = ["domain"] if "domain" in delayed.columns else []
        keys = ["impression_id"] if objective.match == "impression" else [*apart, "user_id", "item_id"]
        answers = delayed.where(F.col("objective") == name).select(*keys, "feedback_time", "arrival_time")
        concerned = rows.where(F.col("domain").isin(*objective.domains)).withColumn(
            "_closed", own_window_closes(space, group)
        )
        if objective.windows:
            names = [format_duration(window) for window in objective.windows]
            concerned = concerned.where(F.col("window").isin(*names)).withColumn("due_time", F.col("_closed"))
            missed = (
                (F.col("feedback_time") > F.col("impression_time"))
                & (F.col("feedback_time") <= F.col("_closed"))
                & (F.col("arrival_time") > F.col("_closed"))
            )
        else:
            concerned = concerned.withColumn("due_time", night_after("_closed"))
            missed = F.col("arrival_time") >= F.col("due_time")
        parts.append(
            concerned.join(answers, on=keys, how="inner")
            .where(missed)
            .select(
                F.lit("feedback").alias("kind"),
                "domain",
                F.lit(name).alias("objective"),
                "window",
                "impression_id",
                "user_id",
                "item_id",
                F.col("feedback_time").alias("time"),
                "arrival_time",
                "due_time",
            )
        )
    return parts
