"""Plots of the metrics: AUC, normalized entropy and slices."""

from collections.abc import Callable, Mapping
from typing import Any

import plotly.graph_objects as go

from pipelines.report import formats
from pipelines.report.blocks import Chart, Key, Panel
from pipelines.report.figures import ROOM_ABOVE, above, figure, marker, text, vertical
from pipelines.report.palette import IMMEDIATE, Looks, category
from pipelines.report.totals import distinct, head_of

Metrics = Mapping[str, Any]


def auc_panel(portfolios: list[Metrics], looks: Looks) -> Panel:
    known = [p["auc"] for p in portfolios if p["auc"] is not None]
    return _dots(
        portfolios,
        looks,
        measure="auc",
        title="Ranking: AUC",
        caption="AUC is the chance that a random impression that converted is scored above a random one that did not: "
        "0.5 is a coin flip, 1 is perfect.",
        digits=formats.metric,
        x={"range": [min([0.5, *known]) - 0.03, 1.0], "nticks": 6},
        mark=0.5,
        mark_name="coin flip",
    )


def entropy_panel(portfolios: list[Metrics], looks: Looks) -> Panel:
    known = [p["normalized_entropy"] for p in portfolios if p["normalized_entropy"] is not None]
    return _dots(
        portfolios,
        looks,
        measure="normalized_entropy",
        title="Loss against the base rate: NE",
        caption="Normalized entropy is the model's loss over that of always predicting the base rate: below 1 the "
        "model knows more than the average, and lower is better.",
        digits=formats.metric,
        x={"range": [min([0.5, *known]) - 0.05, max([1.0, *known]) + 0.1], "nticks": 6},
        mark=1.0,
        mark_name="base rate",
    )


def _dots(
    portfolios: list[Metrics],
    looks: Looks,
    *,
    measure: str,
    title: str,
    caption: str,
    digits: Callable[[float | None], str],
    x: dict[str, Any],
    mark: float,
    mark_name: str,
) -> Panel:
    shown = [p for p in portfolios if p[measure] is not None]
    low, high = x["range"]
    traces = [
        go.Scatter(
            x=[p[measure]],
            y=[_label(p)],
            mode="markers+text",
            marker=marker(looks.domain(p["domain"]), hollow=not p["in_mean"]),
            text=[f"\u2002{digits(p[measure])}\u2002"],
            textposition="middle left" if p[measure] > low + 0.8 * (high - low) else "middle right",
            cliponaxis=False,
            hovertemplate=f"{text(p['domain'])} · {text(p['objective'])}: %{{x:.4f}}<extra></extra>",
        )
        for p in shown
    ]
    domains = {p["domain"] for p in shown}
    legend = [Key(label=d, style=looks.domain(d), form="marker") for d in looks.domains if d in domains]
    if not all(p["in_mean"] for p in shown):
        legend.append(Key(label="left out of means", style=IMMEDIATE, form="hollow"))
    return Panel(
        title=title,
        caption=caption,
        charts=(
            Chart(
                figure=figure(
                    traces,
                    x=x,
                    y={"categoryorder": "array", "categoryarray": [_label(p) for p in reversed(portfolios)]},
                    layout={
                        "shapes": [vertical(mark, 1.5)],
                        "annotations": [above(mark, mark_name)],
                        "margin": ROOM_ABOVE,
                    },
                ),
                description=f"{title}. "
                + "; ".join(f"{head_of(p).full_label} {digits(p[measure])}" for p in portfolios)
                + ".",
                height=60 + 44 * len(portfolios),
            ),
        ),
        legend=tuple(legend),
    )


def slices_panel(slices: list[Metrics]) -> Panel:
    """AUC of each portfolio, a marker a slice."""
    styles = {part["name"]: category(index) for index, part in enumerate(slices)}
    traces = []
    # Plotly fills a group from below.
    for part in reversed(slices):
        known = [p for p in part["portfolios"] if p["auc"] is not None]
        traces.append(
            go.Scatter(
                x=[p["auc"] for p in known],
                y=[_label(p) for p in known],
                name=text(part["name"]),
                mode="markers",
                orientation="h",
                marker=marker(styles[part["name"]]),
                hovertemplate="%{x:.4f}",
            )
        )
    every = [auc for trace in traces for auc in trace.x] or [0.5, 1.0]
    labels = distinct(_label(p) for part in slices for p in part["portfolios"])
    return Panel(
        title="AUC by slice",
        caption="The same model on parts of the held-out rows. Fewer rows make an AUC less certain.",
        charts=(
            Chart(
                figure=figure(
                    traces,
                    x={"nticks": 6, "range": [min(every) - 0.02, max(every) + 0.02]},
                    y={"categoryorder": "array", "categoryarray": list(reversed(labels))},
                    layout={"scattermode": "group", "scattergap": 0.25},
                ),
                description="Mean AUC by slice: "
                + "; ".join(f"{part['name']} {formats.metric(part['means']['auc'])}" for part in slices),
                height=60 + 17 * len(labels) * max(len(slices), 3),
            ),
        ),
        legend=tuple(Key(label=name, style=style, form="marker") for name, style in styles.items()),
        wide=True,
    )


def _label(portfolio: Metrics) -> str:
    """Two short lines, so that a phone has room left for the plot."""
    head = head_of(portfolio)
    return f"{text(head.domain)}<br>{text(head.label)}"
