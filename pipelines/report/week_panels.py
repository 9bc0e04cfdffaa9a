"""Plots by week of the impressions: how many rows, and how often users convert."""

from collections import defaultdict
from datetime import date, timedelta
from typing import Any

import plotly.graph_objects as go

from pipelines.report import formats
from pipelines.report.blocks import Chart, Key, Panel
from pipelines.report.figures import ROOM_ABOVE, above, figure, line, text
from pipelines.report.palette import MUTED, PAPER, Looks
from pipelines.report.totals import Head
from schemas.report import LabelCounts, ReportStatistics, SplitRange

_WEEK_MILLISECONDS = 7 * 24 * 3600 * 1000


def rows_panel(statistics: ReportStatistics, looks: Looks) -> Panel:
    """Zipped rows by week and domain, the evaluated ranges shaded."""
    totals: dict[date, int] = defaultdict(int)
    domains: dict[str, dict[date, int]] = defaultdict(dict)
    for row in statistics.weeks:
        totals[row.week] += row.rows
        domains[row.domain][row.week] = row.rows
    traces = [
        go.Bar(
            x=list(weeks),
            y=list(weeks.values()),
            name=text(domain),
            marker={"color": looks.domain(domain).colour, "line": {"color": PAPER, "width": 0.5}},
            # A bar stands over its whole week.
            width=_WEEK_MILLISECONDS,
            offset=0,
            customdata=[_iso(week) for week in weeks],
            hovertemplate="%{customdata}: %{y:,} rows",
        )
        for domain, weeks in domains.items()
    ]
    busiest = max(totals, key=lambda week: totals[week])
    return Panel(
        title="Rows by week",
        caption="Zipped impressions by the week they were shown in. The shaded ranges are held out: a model that is "
        "judged on one was trained only on rows whose labels were complete before it.",
        charts=(
            Chart(
                figure=figure(
                    traces,
                    x={"type": "date", "showgrid": False},
                    y={"tickformat": "~s", "rangemode": "tozero", "nticks": 6},
                    layout={
                        "barmode": "stack",
                        "shapes": [_shade(split) for split in statistics.splits],
                        "annotations": [above(split.start, split.name, "left") for split in statistics.splits],
                        "margin": ROOM_ABOVE,
                    },
                ),
                description=f"Zipped rows in each of {len(totals)} weeks from {_iso(min(totals))} to "
                f"{_iso(max(totals))}; the most, {formats.count(totals[busiest])}, in {_iso(busiest)}.",
            ),
        ),
        legend=tuple(Key(label=domain, style=looks.domain(domain), form="bar") for domain in domains),
        wide=True,
    )


def rates_panel(labels: tuple[LabelCounts, ...], looks: Looks) -> Panel:
    """One small plot a portfolio: share of positives by week, a line a window."""
    weekly: dict[tuple[str, str], dict[str | None, dict[date, float | None]]] = {}
    for row in labels:
        lines = weekly.setdefault((row.domain, row.objective), {})
        lines.setdefault(row.window, {})[row.week] = formats.share(row.positives, row.labelled)
    windows = {row.window for row in labels}
    shown = [w for w in (*looks.windows, None) if w in windows]
    return Panel(
        title="Conversions by week",
        caption="Share of labelled impressions with a conversion, by the week they were shown in. A line ends where "
        "its window reaches past the data: those rows have no label yet.",
        charts=tuple(
            _weekly_chart(Head(domain, objective, None), lines, looks) for (domain, objective), lines in weekly.items()
        ),
        legend=tuple(Key(label=w or "immediate", style=looks.window(w)) for w in shown),
        wide=True,
    )


def _weekly_chart(portfolio: Head, lines: dict[str | None, dict[date, float | None]], looks: Looks) -> Chart:
    traces: list[Any] = []
    said = []
    for window, rates in lines.items():
        known = [rate for rate in rates.values() if rate is not None]
        if known:
            said.append(f"{window or 'immediate'} from {formats.percent(min(known))} to {formats.percent(max(known))}")
        traces.append(
            go.Scatter(
                x=list(rates),
                y=list(rates.values()),
                name=window or portfolio.objective,
                # Points show a week that stands alone between weeks without labels.
                mode="lines" if len(known) > 3 else "lines+markers",
                line=line(looks.window(window)),
                customdata=[_iso(week) for week in rates],
                hovertemplate="%{customdata}: %{y:.3~%}",
            )
        )
    name = f"{portfolio.domain} · {portfolio.objective}"
    return Chart(
        title=name,
        figure=figure(
            traces, x={"type": "date", "nticks": 5}, y={"tickformat": ".2~%", "rangemode": "tozero", "nticks": 5}
        ),
        description=f"Positive rate of {name} by week: {'; '.join(said) or 'no labels'}.",
        height=200,
    )


def _shade(split: SplitRange) -> dict[str, Any]:
    return {
        "type": "rect", "x0": split.start, "x1": split.end + timedelta(days=1),
        "yref": "paper", "y0": 0, "y1": 1, "fillcolor": MUTED, "opacity": 0.2, "line": {"width": 0},
    }  # fmt: skip


def _iso(week: date) -> str:
    return f"{week:%G-W%V}"
