"""Colours of the plots, told apart with any colour vision (after Okabe and Ito), each with its twin for dark pages.

Plots are built in the light colours; the page swaps every colour for its twin when the reader prefers dark.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from plotly.colors import sample_colorscale, unlabel_rgb

INK, MUTED, GRID, PAPER = "#1B2430", "#5A6675", "#E3E7EC", "#FFFFFF"
NEUTRAL = "#66717F"
_NEUTRALS = {INK: "#E8ECF1", MUTED: "#A3AEBB", GRID: "#2C343E", PAPER: "#171C22", NEUTRAL: "#9AA6B4"}
_CATEGORIES = {
    "#0072B2": "#58B6EC",
    "#D05A00": "#FF9551",
    "#008F68": "#35CDA0",
    "#AD4F88": "#EBA0CB",
    "#967000": "#EBC54A",
}
_RAMP, _DARK_RAMP = ("#9C78E4", "#35127F"), ("#7A5BD0", "#DCD0FF")

_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "star", "hexagon")
_DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")


@dataclass(frozen=True, kw_only=True)
class Style:
    """How one series looks: colour, marker and line, so that none of them alone has to tell it apart."""

    colour: str
    symbol: str
    dash: str


def category(index: int) -> Style:
    """The style of the ``index``-th of some names without an order, such as domains."""
    colours = list(_CATEGORIES)
    return Style(colour=colours[index % len(colours)], symbol=_SYMBOLS[index % len(_SYMBOLS)], dash="solid")


def window(index: int, windows: int) -> Style:
    """The style of the ``index``-th of so many windows: the longer, the stronger, and the longest one is solid."""
    return Style(
        colour=_ramp(_RAMP, windows)[index],
        symbol=_SYMBOLS[index % len(_SYMBOLS)],
        dash=_DASHES[(windows - 1 - index) % len(_DASHES)],
    )


IMMEDIATE = Style(colour=NEUTRAL, symbol="circle", dash="solid")


@dataclass(frozen=True, kw_only=True)
class Looks:
    """One look for each domain and window throughout a report."""

    domains: tuple[str, ...]
    objectives: tuple[str, ...]
    windows: tuple[str, ...]

    def domain(self, name: str) -> Style:
        return category(self.domains.index(name))

    def portfolio(self, domain: str, objective: str) -> Style:
        """The domain's colour and marker with a line for each objective."""
        return replace(self.domain(domain), dash=_DASHES[self.objectives.index(objective) % len(_DASHES)])

    def window(self, name: str | None) -> Style:
        return IMMEDIATE if name is None else window(self.windows.index(name), len(self.windows))


def twins(windows: int) -> dict[str, str]:
    """Light colour -> dark colour, of everything that a report with so many windows uses."""
    ramp = zip(_ramp(_RAMP, windows), _ramp(_DARK_RAMP, windows), strict=True)
    return _NEUTRALS | _CATEGORIES | dict(ramp)


def _ramp(ends: Sequence[str], steps: int) -> list[str]:
    places = [1.0] if steps == 1 else [step / (steps - 1) for step in range(steps)]
    colours = sample_colorscale(list(ends), places) if places else []
    return ["#" + "".join(f"{round(part):02X}" for part in unlabel_rgb(colour)) for colour in colours]
