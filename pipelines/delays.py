"""How long after its impression a conversion is known: what the attribution windows are chosen by."""

from functools import reduce

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipelines.labels import windowed_label
from schemas.duration import format_duration
from schemas.space import ModelSpace

_DAY = 86_400_000_000


def conversion_delays(outcomes: DataFrame, space: ModelSpace, group: str) -> DataFrame:
    """``domain``, ``objective``, ``delay_days`` (double): a row each first conversion within the longest window.

    Only the impressions that the Zipper gave the longest window count, so that early and late delays are seen alike:
    it chooses them by a hash, so they are a fair sample.
    """
    windows = space.groups[group].windows
    longest = format_duration(windows[-1]) if windows else None
    seen = outcomes.where(F.col("assigned") & F.col("window").eqNullSafe(F.lit(longest)))
    parts = []
    for name in space.group_objectives(group):
        objective = space.objectives[name]
        if objective.oracle is None:
            continue
        delay = F.unix_micros(f"arrival_{name}") - F.unix_micros("impression_time")
        converted = seen.where(windowed_label(name, objective, objective.oracle) == 1)
        parts.append(converted.select("domain", F.lit(name).alias("objective"), (delay / _DAY).alias("delay_days")))
    empty = seen.select("domain", F.lit("").alias("objective"), F.lit(0.0).alias("delay_days")).limit(0)
    return reduce(DataFrame.unionByName, parts, empty)
