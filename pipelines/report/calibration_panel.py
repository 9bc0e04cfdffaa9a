"""Plots of calibration, a small one a portfolio."""

from collections.abc import Mapping
from typing import Any

import plotly.graph_objects as go

from pipelines.report import formats
from pipelines.report.blocks import Chart, Panel
from pipelines.report.figures import axis_title, figure, line, marker
from pipelines.report.palette import MUTED, Looks
from pipelines.report.totals import head_of

Metrics = Mapping[str, Any]


def calibration_panel(curves: list[Metrics], portfolios: list[Metrics], looks: Looks) -> Panel:
    """A small plot a portfolio, each on its own scale."""
    overall = {(p["domain"], p["objective"]): p for p in portfolios}
    charts = [_calibration_chart(curve, overall[curve["domain"], curve["objective"]], looks) for curve in curves]
    return Panel(
        title="Calibration: predicted against observed",
        caption="Calibration compares what was predicted with what happened: each point is an equal share of the rows, "
        "from the lowest predictions to the highest, and on the diagonal a predicted 10% converts 10% of the time. "
        "Above each plot: all predictions over all conversions, where 1 is right and more predicts too much.",
        charts=tuple(charts),
        wide=True,
    )


def _calibration_chart(curve: Metrics, portfolio: Metrics, looks: Looks) -> Chart:
    points = curve["points"]
    top = max(max(point["predicted"], point["observed"]) for point in points) * 1.08 or 1.0
    name = head_of(portfolio).full_label
    style = looks.domain(curve["domain"])
    traces = [
        go.Scatter(
            x=[point["predicted"] for point in points],
            y=[point["observed"] for point in points],
            mode="lines+markers",
            marker={**marker(style, hollow=not portfolio["in_mean"]), "size": 7},
            line={**line(style), "width": 1.5},
            customdata=[point["rows"] for point in points],
            hovertemplate="predicted %{x:.3~%}, observed %{y:.3~%}<br>%{customdata:,} rows<extra></extra>",
        )
    ]
    diagonal = {"type": "line", "layer": "below", "x0": 0, "y0": 0, "x1": top, "y1": top,
                "line": {"color": MUTED, "width": 1, "dash": "dot"}}  # fmt: skip
    axis = {"tickformat": ".2~%", "range": [0, top], "nticks": 5}
    return Chart(
        title=f"{name}: {formats.ratio(portfolio['calibration'])}",
        figure=figure(
            traces,
            x={**axis, "title": axis_title("predicted")},
            y={**axis, "title": axis_title("observed")},
            layout={"shapes": [diagonal]},
        ),
        description=f"Calibration of {name}: predicted over observed is "
        f"{formats.ratio(portfolio['calibration'])}; in {len(points)} bins the predictions go from "
        f"{formats.percent(points[0]['predicted'])} to {formats.percent(points[-1]['predicted'])} and the observed "
        f"shares from {formats.percent(points[0]['observed'])} to {formats.percent(points[-1]['observed'])}.",
        height=260,
    )
