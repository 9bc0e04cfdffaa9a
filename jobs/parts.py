"""Cuts a long span of time into parts that one Spark job each can take on a small machine."""

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipelines.spans import Span

# Wide rows are sorted and shuffled by the part: this many fit in memory and on a laptop's disk.
ROWS = int(os.environ.get("LATTICE_ROWS_A_PART", "4_000_000"))


def parts(rows: Callable[[], DataFrame], span: Span, back: timedelta = timedelta(0)) -> list[Span]:
    """The span of impression times that begins ``back`` earlier, cut at midnights.

    Each part has about ``ROWS`` of what ``rows`` gives (a single day may have more). A span of a night is not cut.
    """
    whole = Span(span.start and span.start - back, span.end)
    if span.start is not None and span.end is not None and span.end - span.start <= timedelta(days=1):
        return [whole]
    day = F.to_date("impression_time").alias("day")
    days = rows().where(whole.holds("impression_time")).groupBy(day).count().orderBy("day").collect()
    total = sum(row["count"] for row in days)
    wanted = max(1, -(-total // ROWS))
    cuts: list[datetime] = []
    passed = 0
    for row in days:
        # Before the day that would begin the next part.
        if passed >= (len(cuts) + 1) * total / wanted:
            cuts.append(datetime.combine(row["day"], datetime.min.time(), tzinfo=UTC))
        passed += row["count"]
    edges = [whole.start, *cuts, whole.end]
    return [Span(start, end) for start, end in pairwise(edges)]
