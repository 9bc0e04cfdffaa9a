"""What a report's sections are made of: tiles, plots and tables, as plain values that the template lays out."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import plotly.graph_objects as go

from pipelines.report.palette import Style


@dataclass(frozen=True, kw_only=True)
class Tile:
    """A headline number."""

    label: str
    value: str
    detail: str


@dataclass(frozen=True, kw_only=True)
class Key:
    """One entry of a legend."""

    label: str
    style: Style
    form: Literal["line", "marker", "hollow", "bar"] = "line"


@dataclass(frozen=True, kw_only=True)
class Chart:
    """One plot. ``description`` says in words what it shows, for those who do not see it."""

    figure: go.Figure
    description: str
    height: int = 320
    title: str = ""
    least_width: int = 0
    """On a narrower screen the plot scrolls inside its own box."""


@dataclass(frozen=True, kw_only=True)
class Panel:
    """Plots that share a title, a legend and an explanation."""

    kind: ClassVar[str] = "panel"
    title: str
    caption: str
    charts: tuple[Chart, ...]
    legend: tuple[Key, ...] = ()
    wide: bool = False


@dataclass(frozen=True, kw_only=True)
class Table:
    """Cells as they are to be shown. The first ``names`` columns are text, the others numbers."""

    kind: ClassVar[str] = "table"
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    names: int = 1
    remark: bool = False
    """Whether the last column is text, too."""
    footer: tuple[str, ...] = ()
    note: str = ""
    wide: bool = True
    folded: bool = False
    """Shown as one line that opens."""


@dataclass(frozen=True, kw_only=True)
class Section:
    """A chapter of the report; ``key`` is its anchor."""

    key: str
    title: str
    lead: str
    blocks: tuple[Panel | Table, ...]

    def charts(self) -> dict[str, Chart]:
        """The section's plots by their ids on the page."""
        panels = [(place, block) for place, block in enumerate(self.blocks) if isinstance(block, Panel)]
        return {
            self.chart_id(place, index): chart for place, panel in panels for index, chart in enumerate(panel.charts)
        }

    def chart_id(self, block: int, chart: int) -> str:
        return f"plot-{self.key}-{block}-{chart}"
