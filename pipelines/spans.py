"""Spans of time: what one batch adds. A full build is one span from the beginning, a night is one of a day."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import reduce
from operator import or_

from pyspark.sql import Column
from pyspark.sql import functions as F


@dataclass(frozen=True)
class Span:
    """The instants from ``start`` (inclusive; None: the beginning) to ``end`` (exclusive; None: without end)."""

    start: datetime | None = None
    end: datetime | None = None

    def __contains__(self, moment: datetime) -> bool:
        return (self.start is None or moment >= self.start) and (self.end is None or moment < self.end)

    @property
    def empty(self) -> bool:
        """Whether no instant lies inside."""
        return self.start is not None and self.end is not None and self.start >= self.end

    def holds(self, time: str | Column) -> Column:
        """Whether a timestamp column lies inside; a comparison with constants, so that files can be skipped by it."""
        moment = F.col(time) if isinstance(time, str) else time
        after = F.lit(True) if self.start is None else moment >= F.lit(self.start)
        return after if self.end is None else after & (moment < F.lit(self.end))

    def meet(self, other: "Span") -> "Span":
        """The instants that lie in both."""
        starts = [moment for moment in (self.start, other.start) if moment is not None]
        ends = [moment for moment in (self.end, other.end) if moment is not None]
        return Span(max(starts, default=None), min(ends, default=None))

    def back(self, length: timedelta) -> "Span":
        """The span that lies ``length`` earlier."""
        return Span(self.start and self.start - length, self.end and self.end - length)


EVER = Span()


def any_holds(spans: Iterable[Span], time: str | Column) -> Column:
    """Whether a timestamp column lies inside any of ``spans``."""
    return reduce(or_, (span.holds(time) for span in spans), F.lit(False))
