"""Heads, and sums over weeks of their label counts."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from schemas.report import LabelCounts


class Head(NamedTuple):
    """An objective in one domain: in one window, or immediate."""

    domain: str
    objective: str
    window: str | None

    @property
    def label(self) -> str:
        return " ".join(filter(None, (self.objective, self.window)))

    @property
    def full_label(self) -> str:
        return f"{self.domain} · {self.label}"


class Counts(NamedTuple):
    """As in ``schemas.report.LabelCounts``."""

    rows: int
    labelled: int
    positives: int
    early: int
    open: int


def head_totals(labels: Iterable[LabelCounts]) -> dict[Head, Counts]:
    """The counts of each head over all weeks, in the order of their first mention."""
    totals: dict[Head, Counts] = {}
    for row in labels:
        head = Head(row.domain, row.objective, row.window)
        before = totals.get(head, Counts(0, 0, 0, 0, 0))
        now = Counts(row.rows, row.labelled, row.positives, row.early, row.open)
        totals[head] = Counts(*(a + b for a, b in zip(before, now, strict=True)))
    return totals


def head_of(fields: Mapping[str, Any]) -> Head:
    """The head that some fields, such as a portfolio's metrics, belong to."""
    return Head(fields["domain"], fields["objective"], fields["window"])


def distinct(names: Iterable[str]) -> tuple[str, ...]:
    """Each name once, in the order of its first mention."""
    return tuple(dict.fromkeys(names))
