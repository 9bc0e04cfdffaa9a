"""The common look of the report's plots."""

import html
from collections.abc import Mapping
from datetime import date
from typing import Any

import plotly.graph_objects as go

from pipelines.report.palette import GRID, INK, MUTED, PAPER, Style

_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"
ROOM_ABOVE = {"l": 6, "r": 14, "t": 26, "b": 6}


def figure(
    traces: list[Any], *, x: dict[str, Any], y: dict[str, Any], layout: Mapping[str, Any] | None = None
) -> go.Figure:
    """A plot in the report's look: no legend or title of its own, nothing that a finger can drag by mistake.

    Args:
        x, y: what the two axes depart from the common look in.
        layout: further parts of Plotly's layout.
    """
    axis = {
        "automargin": True,
        "fixedrange": True,
        "gridcolor": GRID,
        "linecolor": GRID,
        "zeroline": False,
        "tickfont": {"color": MUTED, "size": 12},
    }
    common = {
        "template": "none",
        "autosize": True,
        "showlegend": False,
        "dragmode": False,
        "margin": {"l": 6, "r": 14, "t": 14, "b": 6},
        "font": {"family": _FONT, "size": 13, "color": INK},
        "hoverlabel": {"bgcolor": PAPER, "bordercolor": MUTED, "font": {"family": _FONT, "color": INK}},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
    }
    axes = {"xaxis": {**axis, **x}, "yaxis": {**axis, **y}}
    return go.Figure(traces, go.Layout({**common, **(layout or {}), **axes}))


def axis_title(title: str) -> dict[str, Any]:
    """Only an axis that needs one is given a title: even an empty one takes room."""
    return {"text": text(title), "font": {"color": MUTED, "size": 12}, "standoff": 8}


def vertical(at: float, width: float = 1) -> dict[str, Any]:
    """A dotted line across the plot."""
    edge = {"color": MUTED, "width": width, "dash": "dot"}
    return {"type": "line", "layer": "below", "x0": at, "x1": at, "yref": "paper", "y0": 0, "y1": 1, "line": edge}


def above(at: float | date, label: str, anchor: str = "center") -> dict[str, Any]:
    """Words above the plot at a place of the x axis; the plot needs the margin ``ROOM_ABOVE``."""
    return {
        "x": at, "xanchor": anchor, "y": 1, "yref": "paper", "yanchor": "bottom", "text": text(label),
        "showarrow": False, "font": {"size": 12, "color": INK},
    }  # fmt: skip


def line(style: Style) -> dict[str, Any]:
    """A series as a line."""
    return {"color": style.colour, "dash": style.dash, "width": 2.4}


def marker(style: Style, *, hollow: bool = False) -> dict[str, Any]:
    """A series as markers; hollow ones do not count in full."""
    edge = {"color": style.colour, "width": 2}
    return {"color": PAPER if hollow else style.colour, "symbol": style.symbol, "size": 11, "line": edge}


def text(value: str) -> str:
    """A name as Plotly has to be given it: Plotly reads a few tags in its texts."""
    return html.escape(value, quote=False)
