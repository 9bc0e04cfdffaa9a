"""Small aggregates of a run's tables: what the report says about the data.

The columns mean what the fields of the same names mean in ``schemas.report``. Moments (``first``, ``last``) are
microseconds since 1970 in UTC, which no session's time zone can shift on the way out.
"""

from collections.abc import Sequence
from functools import reduce
from operator import or_

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from schemas.duration import format_duration, microseconds
from schemas.space import ModelSpace

_MEASURES = ("rows", "labelled", "positives", "early", "open")


def impression_counts(impressions: DataFrame) -> DataFrame:
    """(domain, rows, users, items, first, last) of the raw impressions."""
    return impressions.groupBy("domain").agg(
        F.count("*").alias("rows"),
        F.count_distinct("user_id").alias("users"),
        F.count_distinct("item_id").alias("items"),
        F.unix_micros(F.min("impression_time")).alias("first"),
        F.unix_micros(F.max("impression_time")).alias("last"),
    )


def feedback_counts(feedback: DataFrame) -> DataFrame:
    """(objective, rows, users, first, last) of the raw feedback."""
    return feedback.groupBy("objective").agg(
        F.count("*").alias("rows"),
        F.count_distinct("user_id").alias("users"),
        F.unix_micros(F.min("feedback_time")).alias("first"),
        F.unix_micros(F.max("feedback_time")).alias("last"),
    )


def week_counts(zipped: DataFrame, space: ModelSpace) -> DataFrame:
    """(domain, week, rows) after the Zipper, by local ISO week."""
    return zipped.groupBy("domain", _week(space)).agg(F.count("*").alias("rows"))


def label_counts(zipped: DataFrame, space: ModelSpace, group: str) -> DataFrame:
    """(domain, objective, window, week, rows, labelled, positives, early, open) of every head, by local ISO week."""
    objectives = space.group_objectives(group)
    counted = zipped.groupBy("domain", "window", _week(space)).agg(
        *(_label_measures(space, objective).alias(objective) for objective in objectives)
    )
    immediate = [objective for objective in objectives if not space.objectives[objective].windows]
    heads = (
        counted.unpivot(["domain", "window", "week"], list(objectives), "objective", "counts")
        .where(_is_head(space, group))
        .withColumn("window", F.when(~F.col("objective").isin(immediate), F.col("window")))
    )
    return heads.groupBy("domain", "objective", "window", "week").agg(
        *(F.sum(f"counts.{measure}").alias(measure) for measure in _MEASURES)
    )


def _week(space: ModelSpace) -> Column:
    local = F.from_utc_timestamp("impression_time", space.time_zone)
    return F.to_date(F.date_trunc("week", local)).alias("week")


def _label_measures(space: ModelSpace, objective: str) -> Column:
    label = F.col(f"label_{objective}")
    declared = space.objectives[objective]
    early = F.col("impression_time") < F.lit(declared.observed.start)
    closes = F.unix_micros("impression_time") + _window_length(space, objective)
    is_open = closes >= F.unix_micros(F.lit(declared.observed.end))
    return F.struct(
        F.count("*").alias("rows"),
        F.count(label).alias("labelled"),
        F.count_if(label > 0).alias("positives"),
        F.count_if(label.isNull() & early).alias("early"),
        F.count_if(label.isNull() & ~early & is_open).alias("open"),
    )


def _window_length(space: ModelSpace, objective: str) -> Column:
    """Microseconds of the row's window; 0 for an immediate objective."""
    length = F.lit(0)
    for window in space.objectives[objective].windows:
        length = F.when(F.col("window") == format_duration(window), F.lit(microseconds(window))).otherwise(length)
    return length


def _is_head(space: ModelSpace, group: str) -> Column:
    """Whether a row of (domain, objective, window) trains a head of the group."""
    conditions = []
    for domain, objective in space.portfolios(group):
        windows = [format_duration(window) for window in space.objectives[objective].windows]
        here = (F.col("domain") == domain) & (F.col("objective") == objective)
        conditions.append(here & F.col("window").isin(windows) if windows else here)
    return reduce(or_, conditions)


def unified_counts(unified: DataFrame) -> DataFrame:
    """(domain, rows) before the Zipper."""
    return unified.groupBy("domain").agg(F.count("*").alias("rows"))


def zipped_counts(zipped: DataFrame, windows: Sequence[str]) -> DataFrame:
    """(domain, rows, distinct, windows) after the Zipper; the last is an array in the order of ``windows``."""
    return zipped.groupBy("domain").agg(
        F.count("*").alias("rows"),
        F.count_distinct("impression_id").alias("distinct"),
        F.array(*(F.count_if(F.col("window") == window) for window in windows)).alias("windows"),
    )


def evaluation_counts(evaluation: DataFrame, space: ModelSpace, group: str) -> DataFrame:
    """(split, domain, objective, rows, labelled, positives) of every portfolio."""
    objectives = space.group_objectives(group)
    counted = evaluation.groupBy("split", "domain").agg(
        *(
            F.struct(
                F.count("*").alias("rows"),
                F.count(f"label_{objective}").alias("labelled"),
                F.count_if(F.col(f"label_{objective}") > 0).alias("positives"),
            ).alias(objective)
            for objective in objectives
        )
    )
    portfolios = [f"{domain}/{objective}" for domain, objective in space.portfolios(group)]
    return (
        counted.unpivot(["split", "domain"], list(objectives), "objective", "counts")
        .where(F.concat_ws("/", "domain", "objective").isin(portfolios))
        .select("split", "domain", "objective", "counts.*")
    )
