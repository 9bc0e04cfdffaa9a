"""Looks for raw rows of published days that no table has.

A source that does not say when a row arrived is taken at its word: the row arrived when it happened. If it is delivered
days later, the night that it belongs to is past, and no later one adds it. So a night counts the days before it again.
"""

from collections.abc import Mapping
from datetime import timedelta

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.context import Context
from jobs.logs import warn
from pipelines.spans import Span
from pipelines.tables import count_between, exists, published, read_delta

BACK = timedelta(days=7)
"""So far back a night looks."""


def look_back(span: Span) -> Span:
    """The span that a night must read of the raw tables."""
    return span if span.start is None else Span(span.start - BACK, span.end)


def count_missing(context: Context, raw: Mapping[str, DataFrame], span: Span) -> None:
    """Count what the raw tables hold of the days before a span and the published ones (URIs) do not; warn.

    Rows that went to quarantine are not missing. The counts are noted in the run's record.
    """
    if span.start is None or not raw:
        return
    before = Span(span.start - BACK, span.start)
    found = {uri: rows.where(before.holds("arrival_time")).count() for uri, rows in raw.items()}
    apart = _in_quarantine(context, before)
    for uri, count in found.items():
        table, name = published(uri), uri.rsplit("/", 1)[-1]
        known = count_between(context.spark, table, "arrival_time", before) if table else 0
        missing = count - known - apart.get(name, 0)
        if missing <= 0:
            continue
        context.missing[uri] = missing
        days = f"the {BACK.days} days before {span.start:%Y-%m-%d}"
        warn(
            f"  {name}: {missing:,} raw rows of {days} are in no table: they were delivered after their night. Map "
            "`arrival_time` in the space file, or run the nights later.",
            table=name,
            missing=missing,
        )


def _in_quarantine(context: Context, before: Span) -> dict[str, int]:
    """By table, how many rows the nights of those days kept apart."""
    if not exists(context.target.quarantine):
        return {}
    rows = read_delta(context.spark, context.target.quarantine)
    of_nights = rows.where((F.col("through") > F.lit(before.start)) & (F.col("through") <= F.lit(before.end)))
    return {row["table"]: row["count"] for row in of_nights.groupBy("table").count().collect()}
