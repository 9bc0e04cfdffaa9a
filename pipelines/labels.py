"""Labels: whether an impression was followed by feedback, and from when on that is known (DESIGN, Contracts).

``outcomes`` finds, for each impression and objective, when the first feedback that it is credited with had arrived;
a label of any window is then a comparison. Feedback counts for window w if it falls after the impression, at most w
later, and had arrived by then.
"""

from collections.abc import Mapping
from datetime import timedelta
from functools import reduce
from operator import or_

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from pipelines.ids import joint_key
from schemas.duration import microseconds
from schemas.space import Objective

# Before any time that a timestamp can hold (microseconds).
_BEGINNING = -(2**63)


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
    columns, arrivals = impressions.columns, [f"arrival_{name}" for name in objectives]
    last = [name for name, o in objectives.items() if o.match == "user_item" and o.attribution == "last"]
    found = impressions
    for name, objective in objectives.items():
        own = feedback.where(F.col("objective") == name)
        arrival = f"arrival_{name}"
        if name in last:
            found = found.withColumn(arrival, F.lit(None).cast("timestamp"))
        elif objective.windows:
            found = _next(found, own, objective, arrival)
        else:
            found = _any(found, own, objective, arrival)
    any_arrival = reduce(or_, (F.col(arrival).isNotNull() for arrival in arrivals))
    parts = [found.where(any_arrival)] if len(last) < len(objectives) else []
    for name in last:
        own, objective = feedback.where(F.col("objective") == name), objectives[name]
        credited = _last_only(around.where(F.col("domain").isin(*objective.domains)), own, objective)
        parts.append(credited.select(*columns, F.timestamp_micros("arrival").alias(f"arrival_{name}")))
    if not last:
        return parts[0]
    every = reduce(lambda one, other: one.unionByName(other, allowMissingColumns=True), parts)
    # Several rows an impression become one: of several objectives.
    return every.groupBy(*columns).agg(*(F.min(arrival).alias(arrival) for arrival in arrivals))


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


def _any(impressions: DataFrame, feedback: DataFrame, objective: Objective, arrival: str) -> DataFrame:
    """The impressions with the first arrival of the feedback that names them, whenever that happened."""
    answers = feedback.groupBy(F.col("impression_id").alias("_named")).agg(F.min("arrival_time").alias(arrival))
    # One row an impression: the join keeps the number of rows.
    named = (F.col("impression_id") == F.col("_named")) & F.col("domain").isin(*objective.domains)
    return impressions.join(answers, on=named, how="left").drop("_named")


def _next(impressions: DataFrame, feedback: DataFrame, objective: Objective, arrival: str) -> DataFrame:
    """The impressions with the first arrival of all feedback after them that they are credited with.

    Each feedback has the stretch of time since the one before it to itself; an impression lies in one such stretch of
    its key at most. So it is joined without being sorted, and without being shuffled where feedback is small.
    """
    if objective.match == "impression":
        spans = _spans(feedback, F.col("impression_id"), None)
        key = F.col("impression_id")
    else:
        apart = ["domain"] if "domain" in feedback.columns else []
        width = microseconds(objective.windows[-1])
        spans = _spans(feedback, joint_key(*apart, "user_id", "item_id"), width)
        key = _near(joint_key(*apart, "user_id", "item_id"), F.unix_micros("impression_time"), width)
    shown_at = F.unix_micros("impression_time")
    follows = (key == F.col("_near")) & (shown_at >= F.col("_since")) & (shown_at < F.col("_until"))
    joined = impressions.join(spans, on=follows & F.col("domain").isin(*objective.domains), how="left")
    return joined.select(*impressions.columns, F.timestamp_micros("_arrival").alias(arrival))


def _spans(feedback: DataFrame, key: Column, width: int | None) -> DataFrame:
    """For each feedback the time for which it is the next one, ``_since`` (inclusive) and ``_until`` (exclusive).

    ``_arrival`` is the first of its own and those of all later feedback of the key. ``_near`` is the key; with a width
    (microseconds) it is made of the key and the part of time of that width, and feedback reaches back no further.
    """
    answers = feedback.select(
        key.alias("_key"),
        F.unix_micros("feedback_time").alias("_until"),
        F.unix_micros("arrival_time").alias("_arrival"),
    ).where("_key IS NOT NULL")
    # Descending, so that 'from here on' is an unbounded-preceding frame, which Spark advances incrementally.
    later = Window.partitionBy("_key").orderBy(F.col("_until").desc())
    spans = answers.select(
        "_key",
        F.coalesce(F.lead("_until").over(later), F.lit(_BEGINNING)).alias("_since"),
        "_until",
        F.min("_arrival").over(later.rowsBetween(Window.unboundedPreceding, 0)).alias("_arrival"),
    ).where("_since < _until")
    if width is None:
        return spans.withColumnRenamed("_key", "_near")
    since = F.greatest("_since", F.col("_until") - F.lit(width))
    ends = (_near(F.col("_key"), moment, width) for moment in (since, F.col("_until") - 1))
    return spans.select(
        F.explode(F.array_distinct(F.array(*ends))).alias("_near"), since.alias("_since"), "_until", "_arrival"
    )


def _near(key: Column, moment: Column, width: int) -> Column:
    """The key and the part of time, of a width, that a moment (both microseconds) lies in; null where the key is."""
    return F.when(key.isNotNull(), F.xxhash64(key, moment - F.pmod(moment, F.lit(width))))


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
    # Feedback within the longest window lies in the impression's own part of time of that width, or in the next one.
    width = microseconds(objective.windows[-1])
    times = (F.col("_at"), F.col("_at") - F.lit(width))
    near = answers.select(F.explode(F.array(*(_near(F.col("_key"), time, width) for time in times))).alias("_near"))
    met = shown.withColumn("_near", _near(F.col("_key"), F.col("_at"), width)).join(near, on="_near", how="left_semi")
    return met.drop("_near").unionByName(answers, allowMissingColumns=True)


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
