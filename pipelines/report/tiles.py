"""The headline numbers on top of a report."""

from collections.abc import Mapping
from typing import Any

from pipelines.report import formats
from pipelines.report.blocks import Tile
from schemas.report import ReportStatistics


def tiles(
    statistics: ReportStatistics, log: Mapping[str, Any] | None, metrics: Mapping[str, Any] | None
) -> tuple[Tile, ...]:
    """What there is of: quality, calibration, data, what the Zipper saves, speed."""
    found = _quality(metrics) if metrics is not None else []
    found += _data(statistics)
    if log is not None:
        found.append(
            Tile(
                label="Training rows/s",
                value=formats.compact(round(log["rows_per_second"])),
                detail=f"{formats.compact(log['rows'])} rows in {formats.seconds(log['seconds'])} on {log['device']}",
            )
        )
    return tuple(found)


def _quality(metrics: Mapping[str, Any]) -> list[Tile]:
    whole = metrics["slices"][0]
    means = whole["means"]
    over = f"{means['portfolios']} of {len(whole['portfolios'])} portfolios"
    found = [
        Tile(label=f"Mean AUC, {metrics['split']}", value=formats.metric(means["auc"]), detail=f"over {over}"),
        Tile(
            label=f"Mean NE, {metrics['split']}",
            value=formats.metric(means["normalized_entropy"]),
            detail=_saved_loss(means["normalized_entropy"]),
        ),
    ]
    judged = [p["calibration"] for p in whole["portfolios"] if p["in_mean"] and p["calibration"] is not None]
    if judged:
        low, high = f"{min(judged):.2f}", f"{max(judged):.2f}"
        value = low if low == high else f"{low}\N{EN DASH}{high}"
        found.append(Tile(label="Calibration", value=value, detail="predicted over observed; 1 is right"))
    return found


def _saved_loss(entropy: float | None) -> str:
    if entropy is None:
        return "no portfolio has enough positives"
    better = "less" if entropy <= 1 else "more"
    return f"{formats.percent(abs(1 - entropy))} {better} loss than predicting base rates"


def _data(statistics: ReportStatistics) -> list[Tile]:
    unified = sum(counts.unified for counts in statistics.zipper)
    windows = len(statistics.windows)
    portfolios = {(row.domain, row.objective) for row in statistics.labels}
    found = [
        Tile(
            label="Impressions",
            value=formats.compact(unified),
            detail=f"{len(statistics.zipper)} domains, {len(portfolios)} portfolios",
        )
    ]
    if windows > 1:
        found.append(
            Tile(
                label="Rows saved",
                value=formats.compact((windows - 1) * unified),
                detail=f"by the Zipper: one dataset for all {windows} windows",
            )
        )
    return found
