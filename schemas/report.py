"""What a report is made of: statistics of the tables, and which run they belong to.

The training log and the metrics, which the model writes as JSON, join them in ``pipelines.report.render``.
"""

from datetime import date, datetime

from pydantic import BaseModel, ConfigDict


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TableVersion(_Part):
    """One table as the run saw it."""

    name: str
    version: int
    rows: int
    fingerprint: str
    """Of the input, code and configuration that the table was built from."""


class RunInfo(_Part):
    """Which run a report tells of."""

    space: str
    title: str
    group: str
    sample: str | None
    """The sample's name; None for all rows."""
    finished: datetime
    tables: tuple[TableVersion, ...]
    quarantined: int = 0
    """Raw rows of the space that were kept apart, because they break an expectation."""


class ImpressionCounts(_Part):
    """The raw impressions of a domain."""

    domain: str
    rows: int
    users: int
    items: int
    first: datetime
    last: datetime


class FeedbackCounts(_Part):
    """The raw feedback of an objective."""

    objective: str
    rows: int
    users: int
    first: datetime
    last: datetime


class LabelCounts(_Part):
    """The zipped rows of one head in one domain whose impressions fall into one week."""

    domain: str
    objective: str
    window: str | None
    """The rows' window such as ``7d``; None for an immediate objective, which every row trains."""
    week: date
    """The Monday of the ISO week in the space's time zone."""
    rows: int
    labelled: int
    positives: int
    early: int
    """Without a label: the impression came before the feedback's observed range."""
    open: int
    """Without a label: the window reaches past the feedback's observed range."""


class WeekCounts(_Part):
    """The zipped rows of a domain whose impressions fall into one week."""

    domain: str
    week: date
    """As in ``LabelCounts``."""
    rows: int


class ZipperCounts(_Part):
    """A domain before and after the Zipper."""

    domain: str
    unified: int
    zipped: int
    distinct: int
    """Different impressions among the zipped rows; equal to ``zipped`` if each is there once."""
    windows: dict[str, int]
    """Zipped rows by window; empty in a group without windows."""


class EvaluationCounts(_Part):
    """The evaluation rows of one split and portfolio, with the oracle's labels."""

    split: str
    domain: str
    objective: str
    rows: int
    labelled: int
    positives: int


class DelayCurve(_Part):
    """When the first conversions of a portfolio were seen, over those within the objective's longest window."""

    domain: str
    objective: str
    days: tuple[float, ...]
    """Time since the impression, increasing; the last one is the longest window."""
    conversions: tuple[int, ...]
    """Conversions no later than each of ``days``."""
    windows: dict[str, int]
    """Conversions by the end of each of the objective's windows."""


class SplitRange(_Part):
    """The local days of a split, both ends included."""

    name: str
    start: date
    end: date


class ReportStatistics(_Part):
    """Everything that the report says about the data."""

    windows: tuple[str, ...]
    """The group's, shortest first."""
    window_days: tuple[float, ...]
    splits: tuple[SplitRange, ...]
    impressions: tuple[ImpressionCounts, ...]
    feedback: tuple[FeedbackCounts, ...]
    weeks: tuple[WeekCounts, ...]
    labels: tuple[LabelCounts, ...]
    zipper: tuple[ZipperCounts, ...]
    evaluation: tuple[EvaluationCounts, ...]
    delays: tuple[DelayCurve, ...]
