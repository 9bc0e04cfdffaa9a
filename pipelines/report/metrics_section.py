"""The report's chapter on the metrics, from the JSON of an evaluation."""

from collections.abc import Mapping
from typing import Any

from pipelines.report import formats, metrics_panels
from pipelines.report.blocks import Panel, Section, Table
from pipelines.report.calibration_panel import calibration_panel
from pipelines.report.palette import Looks

Metrics = Mapping[str, Any]


def metrics_section(metrics: Metrics | None, looks: Looks) -> Section:
    """The metrics of every portfolio, calibration and slices; a word of it if nothing was evaluated."""
    if metrics is None:
        return _section("No model has been evaluated in this run.", ())
    whole, *parts = metrics["slices"]
    portfolios = list(whole["portfolios"])
    blocks: list[Panel | Table] = [_portfolios_table(metrics)]
    if portfolios:
        blocks += [metrics_panels.auc_panel(portfolios, looks), metrics_panels.entropy_panel(portfolios, looks)]
    curves = [curve for curve in metrics["calibration_curves"] if curve["points"]]
    if curves:
        blocks.append(calibration_panel(curves, portfolios, looks))
    if parts:
        blocks += [metrics_panels.slices_panel([whole, *parts]), _means_table(metrics), _slices_table(metrics)]
    lead = (
        f"The model {metrics['model']} on the {metrics['split']} split: {formats.count(metrics['rows'])} impressions "
        f"shown to {formats.count(metrics['users'])} users after everything that it was trained on, judged by what had "
        "happened by the end of each objective's longest window."
    )
    return _section(lead, tuple(blocks))


def _section(lead: str, blocks: tuple[Panel | Table, ...]) -> Section:
    return Section(key="metrics", title="The metrics", lead=lead, blocks=blocks)


def _portfolios_table(metrics: Metrics) -> Table:
    whole = metrics["slices"][0]
    means = whole["means"]
    return Table(
        title="Metrics of each portfolio",
        columns=("Domain", "Objective", "Window", *_MEASURES, "Means"),
        names=3,
        remark=True,
        rows=tuple((*_names(p), *_cells(p), _in_mean(p, metrics)) for p in whole["portfolios"]),
        footer=(
            f"Mean of {means['portfolios']}",
            "",
            "",
            formats.metric(means["auc"]),
            formats.metric(means["normalized_entropy"]),
            *[""] * (len(_MEASURES) - 1),
        ),
        note=f"A portfolio with under {formats.count(metrics['minimum_positives'])} positives, or under "
        f"{formats.count(metrics['minimum_users'])} users with one, says too little: it is shown and left out of "
        "means. BCE: mean binary cross entropy in nats. Calibration: predictions over positives. ECE: mean distance "
        "between predicted and observed over bins.",
    )


_MEASURES = (
    "AUC",
    "NE",
    "BCE",
    "Calibration",
    "ECE",
    "Base rate",
    "Rows",
    "Positives",
    "Converting users",
)


def _names(portfolio: Metrics) -> tuple[str, str, str]:
    return portfolio["domain"], portfolio["objective"], portfolio["window"] or "immediate"


def _cells(portfolio: Metrics) -> tuple[str, ...]:
    return (
        formats.metric(portfolio["auc"]),
        formats.metric(portfolio["normalized_entropy"]),
        formats.metric(portfolio["bce"]),
        formats.ratio(portfolio["calibration"]),
        formats.metric(portfolio["expected_calibration_error"]),
        formats.percent(portfolio["base_rate"]),
        formats.count(portfolio["rows"]),
        formats.count(portfolio["positives"]),
        formats.count(portfolio["users_with_positive"]),
    )


def _in_mean(portfolio: Metrics, metrics: Metrics) -> str:
    if portfolio["in_mean"]:
        return "counted"
    reasons = [
        f"{formats.count(portfolio[field])} {what}"
        for field, what, least in (
            ("positives", "positives", metrics["minimum_positives"]),
            ("users_with_positive", "converting users", metrics["minimum_users"]),
        )
        if portfolio[field] < least
    ]
    return f"left out: {' and '.join(reasons)}" if reasons else "left out"


def _means_table(metrics: Metrics) -> Table:
    return Table(
        title="Means by slice",
        columns=("Slice", "Rows", "Portfolios in the means", "Mean AUC", "Mean NE"),
        rows=tuple(
            (
                part["name"],
                formats.count(part["rows"]),
                formats.count(part["means"]["portfolios"]),
                formats.metric(part["means"]["auc"]),
                formats.metric(part["means"]["normalized_entropy"]),
            )
            for part in metrics["slices"]
        ),
        note="Means over different portfolios are not comparable.",
    )


def _slices_table(metrics: Metrics) -> Table:
    return Table(
        title="Metrics of each portfolio by slice",
        columns=("Slice", "Domain", "Objective", "Window", *_MEASURES, "Means"),
        names=4,
        remark=True,
        rows=tuple(
            (part["name"], *_names(p), *_cells(p), _in_mean(p, metrics))
            for part in metrics["slices"][1:]
            for p in part["portfolios"]
        ),
        folded=True,
    )
