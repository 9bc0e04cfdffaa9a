"""Collects the small aggregates of ``pipelines.report.statistics`` into one plain, ordered description."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from pyspark.sql import DataFrame

from pipelines.report import statistics
from pipelines.report.delays import delay_counts, delay_curves
from schemas.duration import format_duration
from schemas.report import (
    EvaluationCounts,
    FeedbackCounts,
    ImpressionCounts,
    LabelCounts,
    ReportStatistics,
    SplitRange,
    WeekCounts,
    ZipperCounts,
)
from schemas.space import ModelSpace

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Fields = dict[str, Any]
Order = Callable[[Fields], tuple[Any, ...]]


def collect_statistics(
    space: ModelSpace,
    group: str,
    *,
    impressions: DataFrame,
    feedback: DataFrame,
    unified: DataFrame,
    zipped: DataFrame,
    evaluation: DataFrame,
    delays: DataFrame,
) -> ReportStatistics:
    """Count the tables of a group; domains, objectives and windows come in the order of the space.

    Args:
        delays: ``domain``, ``objective`` and ``delay_days`` (double) to the first conversion, one row an impression
            that converted and whose longest window had closed.
    """
    windows = space.groups[group].windows
    names = tuple(format_duration(window) for window in windows)
    order = _order(space, names)
    shown = _rows(statistics.impression_counts(impressions), order)
    answers = _rows(statistics.feedback_counts(feedback), order)
    weeks = _rows(statistics.week_counts(zipped, space), order)
    labels = _rows(statistics.label_counts(zipped, space, group), order)
    judged = _rows(statistics.evaluation_counts(evaluation, space, group), order)
    return ReportStatistics(
        windows=names,
        window_days=tuple(window / timedelta(days=1) for window in windows),
        splits=tuple(
            SplitRange(name=name, start=days.start, end=days.end)
            for name, days in (("validation", space.splits.validation), ("test", space.splits.test))
        ),
        impressions=tuple(ImpressionCounts.model_validate(_with_moments(row)) for row in shown),
        feedback=tuple(FeedbackCounts.model_validate(_with_moments(row)) for row in answers),
        weeks=tuple(WeekCounts.model_validate(row) for row in weeks),
        labels=tuple(LabelCounts.model_validate(row) for row in labels),
        zipper=_zipper(unified, zipped, names, order),
        evaluation=tuple(EvaluationCounts.model_validate(row) for row in judged),
        delays=delay_curves(delay_counts(delays, space, group), space, group),
    )


def _order(space: ModelSpace, windows: Sequence[str]) -> Order:
    ranks: dict[str, tuple[str | None, ...]] = {
        "split": ("validation", "test"),
        "domain": tuple(space.domains),
        "objective": tuple(space.objectives),
        "window": (None, *windows),
    }

    def key(row: Fields) -> tuple[Any, ...]:
        places = tuple(names.index(row[column]) for column, names in ranks.items() if column in row)
        return (*places, row["week"]) if "week" in row else places

    return key


def _rows(counts: DataFrame, order: Order) -> list[Fields]:
    return sorted((row.asDict() for row in counts.collect()), key=order)


def _with_moments(row: Fields) -> Fields:
    """The row, its microseconds as UTC datetimes."""
    return row | {name: _EPOCH + timedelta(microseconds=row[name]) for name in ("first", "last")}


def _zipper(unified: DataFrame, zipped: DataFrame, windows: tuple[str, ...], order: Order) -> tuple[ZipperCounts, ...]:
    nothing = {"rows": 0, "distinct": 0, "windows": [0] * len(windows)}
    zipped_rows = {row.domain: row.asDict() for row in statistics.zipped_counts(zipped, windows).collect()}
    counts = []
    for before in _rows(statistics.unified_counts(unified), order):
        after = zipped_rows.get(before["domain"], nothing)
        counts.append(
            ZipperCounts(
                domain=before["domain"],
                unified=before["rows"],
                zipped=after["rows"],
                distinct=after["distinct"],
                windows=dict(zip(windows, after["windows"], strict=True)),
            )
        )
    return tuple(counts)
