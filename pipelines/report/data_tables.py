"""Tables of the data: the same counts as the plots, in full."""

from pipelines.report.blocks import Table
from pipelines.report.formats import MISSING, count, day, percent, share
from pipelines.report.totals import Counts, Head
from schemas.report import DelayCurve, EvaluationCounts, FeedbackCounts, ImpressionCounts, ReportStatistics


def heads_table(heads: dict[Head, Counts]) -> Table:
    """Rows, labels and positives of every head, and why some rows have no label."""
    unexplained = sum(c.rows - c.labelled - c.early - c.open for c in heads.values())
    note = (
        "Open: the window reaches past the end of the feedback's records. Early: the impression came before they begin."
    )
    if unexplained:
        note += f" {count(unexplained)} labels are missing without either reason."
    return Table(
        title="Rows and positive rates",
        columns=(
            "Domain",
            "Objective",
            "Window",
            "Rows",
            "Labelled",
            "Positives",
            "Positive rate",
            "Open",
            "Early",
        ),
        names=3,
        rows=tuple(
            (
                head.domain,
                head.objective,
                head.window or "immediate",
                count(counts.rows),
                count(counts.labelled),
                count(counts.positives),
                percent(share(counts.positives, counts.labelled)),
                count(counts.open),
                count(counts.early),
            )
            for head, counts in heads.items()
        ),
        note=note,
    )


def zipper_table(statistics: ReportStatistics) -> Table:
    """A row a domain; the copies are what a dataset a window would hold."""
    windows = statistics.windows

    def cells(unified: int, zipped: int, distinct: int, rows: list[int]) -> tuple[str, ...]:
        return tuple(map(count, (unified, zipped, *rows, unified - zipped, zipped - distinct, len(windows) * unified)))

    parts = statistics.zipper
    total = cells(
        sum(p.unified for p in parts),
        sum(p.zipped for p in parts),
        sum(p.distinct for p in parts),
        [sum(p.windows[name] for p in parts) for name in windows],
    )
    return Table(
        title="Rows through the Zipper",
        columns=(
            "Domain",
            "Unified",
            "Zipped",
            *(f"… in {name}" for name in windows),
            "Not closed",
            "Repeated",
            f"{len(windows)} datasets",
        ),
        rows=tuple((p.domain, *cells(p.unified, p.zipped, p.distinct, list(p.windows.values()))) for p in parts),
        footer=("All domains", *total),
        note="Not closed: the row waits for the end of its window. Repeated: zipped rows beyond one an impression; "
        "zero is right.",
    )


def delay_table(curves: tuple[DelayCurve, ...], windows: tuple[str, ...]) -> Table:
    """The share of conversions that each window sees."""
    return Table(
        title="Conversions seen by the end of each window",
        columns=("Domain", "Objective", "Conversions", *windows),
        names=2,
        rows=tuple(
            (
                curve.domain,
                curve.objective,
                count(curve.conversions[-1]),
                *(
                    percent(share(curve.windows[name], curve.conversions[-1])) if name in curve.windows else MISSING
                    for name in windows
                ),
            )
            for curve in curves
        ),
        note="First conversions of impressions whose longest window has closed.",
    )


def impressions_table(impressions: tuple[ImpressionCounts, ...]) -> Table:
    return Table(
        title="Impressions that came in",
        columns=("Domain", "Impressions", "Users", "Items", "First day", "Last day"),
        wide=False,
        rows=tuple(
            (row.domain, count(row.rows), count(row.users), count(row.items), day(row.first), day(row.last))
            for row in impressions
        ),
    )


def feedback_table(feedback: tuple[FeedbackCounts, ...]) -> Table:
    return Table(
        title="Feedback that came in",
        columns=("Objective", "Feedback", "Users", "First day", "Last day"),
        wide=False,
        rows=tuple(
            (row.objective, count(row.rows), count(row.users), day(row.first), day(row.last)) for row in feedback
        ),
    )


def evaluation_table(evaluation: tuple[EvaluationCounts, ...]) -> Table:
    return Table(
        title="Rows held out for evaluation",
        columns=("Split", "Domain", "Objective", "Rows", "Labelled", "Positives", "Positive rate"),
        names=3,
        rows=tuple(
            (
                row.split,
                row.domain,
                row.objective,
                count(row.rows),
                count(row.labelled),
                count(row.positives),
                percent(share(row.positives, row.labelled)),
            )
            for row in evaluation
        ),
        note="Labels of the objective's longest window.",
        folded=True,
    )
