"""How long conversions take: a small aggregate for the curves of the report."""

from collections.abc import Mapping, Sequence
from datetime import timedelta

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from schemas.space import ModelSpace

_STEPS = 56


def delay_points(space: ModelSpace, group: str) -> dict[str, tuple[float, ...]]:
    """For each windowed objective the days at which its conversions are counted: even steps and every window."""
    points = {}
    for objective in space.group_objectives(group):
        days = [window / timedelta(days=1) for window in space.objectives[objective].windows]
        if days:
            points[objective] = tuple(sorted({*days, *(days[-1] * step / _STEPS for step in range(_STEPS))}))
    return points


def delay_counts(delays: DataFrame, points: Mapping[str, Sequence[float]]) -> DataFrame:
    """(domain, objective, conversions): how many delays are no longer than each of the objective's points.

    Args:
        delays: one row an impression that converted: ``domain``, ``objective``, ``delay_days`` to its first
            conversion.
    """
    everything = sorted({point for days in points.values() for point in days})
    counted = delays.groupBy("domain", "objective").agg(
        F.array(*(F.count_if(F.col("delay_days") <= day) for day in everything)).alias("counts")
    )
    chosen = F.lit(None)
    for objective, days in points.items():
        places = [F.get("counts", F.lit(everything.index(day))) for day in days]
        chosen = F.when(F.col("objective") == objective, F.array(*places)).otherwise(chosen)
    return counted.where(F.col("objective").isin(list(points))).select(
        "domain", "objective", chosen.alias("conversions")
    )
