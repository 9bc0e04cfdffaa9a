"""How long conversions take: a small aggregate, and the curves of the report made from it."""

from collections import Counter, defaultdict
from datetime import timedelta
from itertools import accumulate

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from schemas.duration import format_duration
from schemas.report import DelayCurve
from schemas.space import ModelSpace

STEPS = 56

_DAY = timedelta(days=1)


def delay_counts(delays: DataFrame, space: ModelSpace, group: str) -> DataFrame:
    """(domain, objective, step, rows, windows): conversions within the objective's longest window, by delay.

    Step s holds the delays that end in the s-th of ``STEPS`` equal parts of the longest window. ``windows`` counts
    those of its rows that each of the group's windows sees.

    Args:
        delays: one row an impression that converted: ``domain``, ``objective``, ``delay_days`` to its first
            conversion.
    """
    longest = F.lit(None).cast("double")
    for objective in space.group_objectives(group):
        window = space.objectives[objective].oracle
        if window:
            longest = F.when(F.col("objective") == objective, F.lit(window / _DAY)).otherwise(longest)
    part = F.ceil(F.col("delay_days") * STEPS / longest)
    seen = (F.count_if(F.col("delay_days") <= window / _DAY) for window in space.groups[group].windows)
    return (
        delays.where(F.col("delay_days") <= longest)
        # Rounding must not push the very longest delay out of the last step.
        .groupBy("domain", "objective", F.least(part, F.lit(STEPS)).alias("step"))
        .agg(F.count("*").alias("rows"), F.array(*seen).alias("windows"))
    )


def delay_curves(counts: DataFrame, space: ModelSpace, group: str) -> tuple[DelayCurve, ...]:
    """What ``delay_counts`` says, cumulated, for every portfolio of the group that converted."""
    steps: dict[tuple[str, str], Counter[int]] = defaultdict(Counter)
    windows: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    names = [format_duration(window) for window in space.groups[group].windows]
    for row in counts.collect():
        steps[row.domain, row.objective][row.step] += row.rows
        windows[row.domain, row.objective].update(dict(zip(names, row.windows, strict=True)))
    curves = []
    for domain, objective in space.portfolios(group):
        declared = space.objectives[objective]
        if declared.oracle and (domain, objective) in steps:
            seen = steps[domain, objective]
            curves.append(
                DelayCurve(
                    domain=domain,
                    objective=objective,
                    days=tuple(declared.oracle / _DAY * step / STEPS for step in range(STEPS + 1)),
                    conversions=tuple(accumulate(seen[step] for step in range(STEPS + 1))),
                    windows={name: windows[domain, objective][name] for name in map(format_duration, declared.windows)},
                )
            )
    return tuple(curves)
