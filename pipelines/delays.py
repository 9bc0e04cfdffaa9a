"""How long after its impression a conversion is known: what the attribution windows are chosen by."""

from functools import reduce

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipelines.labels import windowed_label
from schemas.space import ModelSpace

_DAY = 86_400_000_000


def conversion_delays(unified: DataFrame, outcomes: DataFrame, space: ModelSpace, group: str) -> DataFrame:
    """``domain``, ``objective``, ``delay_days`` (double): a row each first conversion within the longest window.

    Only impressions whose longest window lies within the observed range count, so that early and late delays are
    seen alike.
    """
    # One row an impression on either side.
    shown = unified.select("impression_id", "domain", "impression_time").join(outcomes, on="impression_id", how="inner")
    parts = []
    for name in space.group_objectives(group):
        objective = space.objectives[name]
        if objective.oracle is None:
            continue
        delay = F.unix_micros(f"arrival_{name}") - F.unix_micros("impression_time")
        converted = shown.where(windowed_label(name, objective, objective.oracle) == 1)
        parts.append(converted.select("domain", F.lit(name).alias("objective"), (delay / _DAY).alias("delay_days")))
    empty = shown.select("domain", F.lit("").alias("objective"), F.lit(0.0).alias("delay_days")).limit(0)
    return reduce(DataFrame.unionByName, parts, empty)
