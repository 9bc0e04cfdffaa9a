"""Labels: whether an impression was followed by feedback, and from when on that is known (DESIGN, Contracts).

``outcomes`` finds, for each impression and objective, when the first feedback that it is credited with had arrived;
a label of any window is then a comparison. Feedback counts for window w if it falls after the impression, at most w
later, and had arrived by then.
"""

from collections.abc import Mapping
from datetime import timedelta
from functools import reduce

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from pipelines.ids import joint_key
from schemas.duration import microseconds
from schemas.space import Objective


def outcomes(
    impressions: DataFrame,
    feedback: DataFrame,
    objectives: Mapping[str, Objective],
    neighbours: DataFrame | None = None,
) -> DataFrame:
    """The impressions that got feedback, with their own columns and ``arrival_<objective>`` (timestamp, nullable).

    Feedback later than an objective's longest window makes no label, and may be left out.

    Args:
        impressions: ``impression_id`` (unique), ``domain``, ``user_id``, ``item_id``, ``impression_time``, and whatever
            else the result should have.
        feedback: ``objective``, ``user_id``, ``item_id``, ``feedback_time``, ``arrival_time``, ``impression_id``
            (null where feedback does not name the impression it answers), and ``domain`` if it may credit impressions
            of that domain only (pipelines.privacy).
        neighbours: all impressions among which feedback with ``attribution: last`` looks for the last one, with the
            same columns; default: ``impressions``. Others of them may be in the result too.
    """
    around = impressions if neighbours is None else neighbours
    columns = impressions.columns
    parts = [
        _first_arrival(
            (around if objective.attribution == "last" else impressions).where(
                F.col("domain").isin(*objective.domains)
            ),
            feedback.where(F.col("objective") == name),
            objective,
        ).select(*columns, F.lit(name).alias("objective"), "arrival")
        for name, objective in objectives.items()
    ]
    long = reduce(DataFrame.unionByName, parts)
    # Several rows an impression become one: of several objectives, or of several answers to one impression.
    arrivals = [
        F.min(F.when(F.col("objective") == name, F.timestamp_micros("arrival"))).alias(f"arrival_{name}")
        for name in objectives
    ]
    return long.groupBy(*columns).agg(*arrivals)


def windowed_label(name: str, objective: Objective, window: timedelta) -> Column:
    """The label (float: 1, 0, null) of an objective in a window, on impressions joined with their outcomes.

    Null where the domain lacks the objective, or (t, t + window] does not lie wholly in the observed range.
    """
    end = F.timestamp_micros(F.unix_micros("impression_time") + microseconds(window))
    known = (F.col("impression_time") >= F.lit(objective.observed.start)) & (end < F.lit(objective.observed.end))
    return _label(name, objective, known, F.col(f"arrival_{name}") <= end)


def immediate_label(name: str, objective: Objective, available: str = "available_time") -> Column:
    """The label of an immediate objective: whether any feedback names the impression, whatever its time.

    It counts if it had arrived by the end of the (UTC) day on which the row became available: that night publishes it.
    """
    time, observed = F.col("impression_time"), objective.observed
    known = (time >= F.lit(observed.start)) & (time < F.lit(observed.end))
    return _label(name, objective, known, F.col(f"arrival_{name}") < night_after(available))


def night_after(time: str) -> Column:
    """The midnight (UTC) that ends the day of a time: what had arrived by then, that day's night publishes."""
    return F.date_trunc("day", time) + F.expr("INTERVAL 1 DAY")


def _label(name: str, objective: Objective, known: Column, happened: Column) -> Column:
    label = F.coalesce(happened, F.lit(False)).cast("float")
    return F.when(F.col("domain").isin(*objective.domains) & known, label).alias(f"label_{name}")


def _first_arrival(impressions: DataFrame, feedback: DataFrame, objective: Objective) -> DataFrame:
    """The impressions that are credited with feedback, and when that had ``arrival`` (long, microseconds).

    An impression that several answers name comes several times.
    """
    if objective.match == "impression":
        return _by_impression(impressions, feedback, immediate=not objective.windows)
    if objective.attribution == "last":
        return _last_only(impressions, feedback, objective)
    return _every(impressions, feedback, objective)


def _by_impression(impressions: DataFrame, feedback: DataFrame, immediate: bool) -> DataFrame:
    answers = feedback.where(F.col("impression_id").isNotNull()).select(
        "impression_id", F.unix_micros("feedback_time").alias("_at"), F.unix_micros("arrival_time").alias("arrival")
    )
    joined = impressions.join(answers, on="impression_id", how="inner")
    if not immediate:
        joined = joined.where(F.col("_at") > F.unix_micros("impression_time"))
    return joined


def _timeline(impressions: DataFrame, feedback: DataFrame, objective: Objective, *key: str) -> DataFrame:
    """Impressions and feedback of the same keys in one frame.

    ``_key``, ``_at``, ``_shown`` (the impression's columns; null: feedback), ``arrival``. Impressions whose key got no
    feedback about that time, which are most, are left out before anything is sorted.
    """
    answers = feedback.select(
        joint_key(*key).alias("_key"),
        F.unix_micros("feedback_time").alias("_at"),
        F.unix_micros("arrival_time").alias("arrival"),
    ).where("_key IS NOT NULL")
    shown = impressions.select(
        joint_key(*key).alias("_key"),
        F.unix_micros("impression_time").alias("_at"),
        F.struct(*impressions.columns).alias("_shown"),
    )
    # Time in stretches of the longest window: feedback within it lies in the impression's stretch or in the next one.
    width = F.lit(microseconds(objective.windows[-1]))
    stretch = F.col("_at") - F.pmod("_at", width)
    near = answers.select(F.explode(F.array(stretch, stretch - width)).alias("_stretch"), "_key")
    met = shown.withColumn("_near", F.xxhash64("_key", stretch)).join(
        near.select(F.xxhash64("_key", "_stretch").alias("_near")), on="_near", how="left_semi"
    )
    return met.drop("_near").unionByName(answers, allowMissingColumns=True)


def _every(impressions: DataFrame, feedback: DataFrame, objective: Objective) -> DataFrame:
    # Descending, so that 'after t' is an unbounded-preceding frame, which Spark advances incrementally.
    after = Window.partitionBy("_key").orderBy(F.col("_at").desc()).rangeBetween(Window.unboundedPreceding, -1)
    apart = ["domain"] if "domain" in feedback.columns else []
    rows = _timeline(impressions, feedback, objective, *apart, "user_id", "item_id").select(
        "_shown", F.min("arrival").over(after).alias("arrival")
    )
    return _credited(rows)


def _last_only(impressions: DataFrame, feedback: DataFrame, objective: Objective) -> DataFrame:
    """Feedback credits the last impression before it, in its domain; impressions of one instant share the credit."""
    domains = impressions.select("domain").distinct()
    answers = feedback if "domain" in feedback.columns else feedback.crossJoin(F.broadcast(domains))
    rows = _timeline(impressions, answers, objective, "domain", "user_id", "item_id")
    ordered = Window.partitionBy("_key").orderBy("_at")
    shown_at = F.when(F.col("_shown").isNotNull(), F.col("_at"))
    # An episode is named by the impression time that opens it; feedback belongs to the last one before its instant.
    episode = F.when(F.col("_shown").isNotNull(), F.col("_at")).otherwise(
        F.max(shown_at).over(ordered.rangeBetween(Window.unboundedPreceding, -1))
    )
    marked = rows.withColumn("_episode", episode)
    whole = Window.partitionBy("_key", "_episode")
    return _credited(marked.withColumn("arrival", F.min("arrival").over(whole)))


def _credited(rows: DataFrame) -> DataFrame:
    return rows.where("_shown is not null and arrival is not null").select("_shown.*", "arrival")
