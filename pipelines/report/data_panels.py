"""Plots of the data: rates, the Zipper and delays."""

import math

import plotly.graph_objects as go

from pipelines.report import formats
from pipelines.report.blocks import Chart, Key, Panel
from pipelines.report.figures import ROOM_ABOVE, above, axis_title, figure, line, marker, text, vertical
from pipelines.report.palette import NEUTRAL, PAPER, Looks
from pipelines.report.totals import Counts, Head, distinct
from schemas.report import DelayCurve, ReportStatistics


def rates_panel(heads: dict[Head, Counts], looks: Looks) -> Panel:
    """Share of positives of every head; a logarithmic axis, since rare objectives stand beside common ones."""
    rates = {head: formats.share(counts.positives, counts.labelled) for head, counts in heads.items()}
    shown = {head: rate for head, rate in rates.items() if rate}
    domains = [domain for domain in looks.domains if any(head.domain == domain for head in heads)]
    ends = (math.log10(min(shown.values(), default=0.01)) - 0.1, math.log10(max(shown.values(), default=0.1)) + 0.1)
    traces = []
    # Plotly fills a group from below.
    for domain in reversed(domains):
        mine = {head: rate for head, rate in shown.items() if head.domain == domain}
        traces.append(
            go.Scatter(
                x=list(mine.values()),
                y=[text(head.label) for head in mine],
                name=text(domain),
                mode="markers",
                # Horizontal, and in a group of its own: domains that share a rate stand below each other.
                orientation="h",
                marker=marker(looks.domain(domain)),
                offsetgroup=str(domains.index(domain)),
                hovertemplate="%{y}: %{x:.3~%}",
            )
        )
    labels = distinct(head.label for head in heads)
    said = "; ".join(f"{head.domain} {head.label} {formats.percent(rate)}" for head, rate in rates.items())
    return Panel(
        title="How often users convert",
        caption="Share of labelled impressions with a conversion, by objective and window. Each step of the axis to "
        "the right is ten times as often.",
        charts=(
            Chart(
                figure=figure(
                    traces,
                    x={"type": "log", "range": ends, "tickformat": ".2~%", "dtick": 1},
                    y={"categoryorder": "array", "categoryarray": [text(label) for label in reversed(labels)]},
                    layout={"scattermode": "group", "scattergap": 0.25},
                ),
                description=f"Positive rates. {said}.",
                height=60 + 17 * max(len(labels) * len(domains), 12),
            ),
        ),
        legend=tuple(Key(label=domain, style=looks.domain(domain), form="marker") for domain in domains),
        wide=True,
    )


def zipper_panel(statistics: ReportStatistics, looks: Looks) -> Panel:
    """Rows before and after the Zipper, and of a dataset a window."""
    unified = sum(counts.unified for counts in statistics.zipper)
    zipped = {w: sum(counts.windows[w] for counts in statistics.zipper) for w in statistics.windows}
    waiting = unified - sum(zipped.values())
    copies, after, before = f"{len(zipped)} datasets", "zipped", "unified"
    traces = [_bar({before: unified}, "before the Zipper", NEUTRAL)]
    for name, rows in zipped.items():
        traces.append(_bar({after: rows, copies: unified}, name, looks.window(name).colour))
    if waiting:
        traces.append(_bar({after: waiting}, "window not closed", NEUTRAL, opacity=0.35))
    return Panel(
        title="Before and after the Zipper",
        caption=f"The Zipper keeps every impression once, in one window. A dataset a window would hold "
        f"{formats.compact(len(zipped) * unified)} rows, {len(zipped)} times as many.",
        charts=(
            Chart(
                figure=figure(
                    traces,
                    x={"tickformat": "~s", "rangemode": "tozero", "nticks": 6},
                    y={"categoryorder": "array", "categoryarray": [copies, after, before]},
                    layout={"barmode": "stack", "bargap": 0.35},
                ),
                description=f"Rows: unified {formats.count(unified)}; zipped "
                + ", ".join(f"{name} {formats.count(rows)}" for name, rows in zipped.items())
                + f"; {copies} would hold {formats.count(len(zipped) * unified)}.",
                height=320,
            ),
        ),
        legend=tuple(Key(label=name, style=looks.window(name), form="bar") for name in statistics.windows),
    )


def delay_panel(curves: tuple[DelayCurve, ...], statistics: ReportStatistics, looks: Looks) -> Panel:
    """Cumulative share of conversions by time since the impression, the windows marked."""
    traces = [
        go.Scatter(
            x=list(curve.days),
            y=[seen / curve.conversions[-1] for seen in curve.conversions],
            name=text(f"{curve.domain} · {curve.objective}"),
            mode="lines",
            line=line(looks.portfolio(curve.domain, curve.objective)),
            hovertemplate="%{y:.1%}",
        )
        for curve in curves
    ]
    marks = list(zip(statistics.windows, statistics.window_days, strict=True))
    return Panel(
        title="When conversions are seen",
        caption="Of the impressions that convert within the objective's longest window, the share whose first "
        "conversion had been seen by then. Dotted lines mark the attribution windows: a shorter one is fresher and "
        "sees less.",
        charts=(
            Chart(
                figure=figure(
                    traces,
                    x={"title": axis_title("days since the impression"), "rangemode": "tozero", "hoverformat": ".1f"},
                    y={"tickformat": ".0%", "range": [0, 1.02], "nticks": 6},
                    layout={
                        "hovermode": "x unified",
                        "shapes": [vertical(days) for _, days in marks],
                        "annotations": [above(days, name) for name, days in marks],
                        "margin": ROOM_ABOVE,
                    },
                ),
                description="Share of conversions seen by time since the impression. "
                + " ".join(f"{c.domain} {c.objective}: {_seen_by_window(c)}." for c in curves),
            ),
        ),
        legend=tuple(
            Key(label=f"{c.domain} · {c.objective}", style=looks.portfolio(c.domain, c.objective)) for c in curves
        ),
    )


def _seen_by_window(curve: DelayCurve) -> str:
    shares = (f"{formats.percent(seen / curve.conversions[-1])} by {name}" for name, seen in curve.windows.items())
    return ", ".join(shares)


def _bar(rows: dict[str, int], name: str, colour: str, opacity: float = 1.0) -> go.Bar:
    return go.Bar(
        y=list(rows),
        x=list(rows.values()),
        name=name,
        orientation="h",
        opacity=opacity,
        # A thin edge in the page's colour keeps stacked parts apart.
        marker={"color": colour, "line": {"color": PAPER, "width": 1}},
        hovertemplate="%{x:,} rows",
    )
