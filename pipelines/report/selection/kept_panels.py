"""Plots of what a selection keeps: importance by how many features, or by what they cost; frontiers; stability."""

from itertools import pairwise
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from pipelines.frontiers import Floats, Ints
from pipelines.report import formats
from pipelines.report.blocks import Chart, Key, Panel
from pipelines.report.figures import ROOM_ABOVE, above, axis_title, figure, line, text, vertical
from pipelines.report.palette import IMMEDIATE, PAPER, Style, category
from pipelines.report.selection.facts import Facts

CHOSEN, LEFT_OUT = category(0), IMMEDIATE
_POINTS = 160
_TASKS = 5
_FRONTIERS = 20


def kept_panel(facts: Facts) -> Panel:
    """How much of each task's importance the first features have, by their number and by each declared cost."""
    curves, styles = _curves(facts)
    count = int(facts.chosen.sum())
    now = facts.kept_now
    charts = [_curve_chart(curves, styles, np.arange(len(facts.order) + 1), count, "features", "By number")]
    for name, cost in (("compute", facts.compute), ("storage", facts.storage)):
        if cost.any():
            spent = np.concatenate([[0.0], cost[facts.order].cumsum()])
            charts.append(_curve_chart(curves, styles, spent, spent[count], f"{name}, as declared", f"By {name}"))
    shown = "Each line is a task." if len(facts.tasks) <= _TASKS else (
        f"Of {len(facts.tasks)} tasks, the one that keeps most, the middle one and the one that keeps least."
    )  # fmt: skip
    return Panel(
        title="What the chosen features keep",
        caption=f"{shown} Importance is added up feature by feature in the order of choice; the dotted line is where "
        "this selection stops. It is a guide, not a promise: importances are measured one feature at a time, and a "
        "feature that stands in for a dropped one is worth more afterwards. What a model loses, only training tells.",
        charts=tuple(
            Chart(
                figure=chart,
                description="Importance kept, " + "; ".join(
                    f"{task} {formats.percent(float(part))}" for task, part in zip(facts.tasks, now, strict=True)
                ),
                height=340,
                title=title,
            )
            for chart, title in charts
        ),
        legend=tuple(Key(label=name, style=style) for name, style in styles.items()),
        wide=True,
    )  # fmt: skip


def _curves(facts: Facts) -> tuple[dict[str, Floats], dict[str, Style]]:
    """(len(order) + 1,) each."""
    every = dict(zip(facts.tasks, facts.kept.T, strict=True))
    if len(every) > _TASKS:
        place = np.argsort(facts.kept_now, kind="stable")
        picked = {"keeps most": place[-1], "in the middle": place[len(place) // 2], "keeps least": place[0]}
        every = {f"{facts.tasks[task]} ({what})": facts.kept[:, task] for what, task in picked.items()}
    return every, {name: category(index) for index, name in enumerate(every)}


def _curve_chart(
    curves: dict[str, Floats], styles: dict[str, Style], x: Floats | Ints, stop: float, unit: str, title: str
) -> tuple[go.Figure, str]:
    points = np.unique(np.linspace(0, len(x) - 1, _POINTS).round().astype(int))
    traces = [
        go.Scatter(
            x=x[points].round(4).tolist(), y=values[points].round(4).tolist(), name=text(name), mode="lines",
            line=line(styles[name]), hovertemplate="%{y:.1%}",
        )
        for name, values in curves.items()
    ]  # fmt: skip
    layout: dict[str, Any] = {
        "hovermode": "x unified",
        "shapes": [vertical(stop, 1.5)],
        "annotations": [above(stop, "chosen", "right" if stop > 0.8 * x[-1] else "center")],
        "margin": ROOM_ABOVE,
    }
    axis = {"title": axis_title(unit), "rangemode": "tozero", "nticks": 7}
    return figure(traces, x=axis, y={"tickformat": ".0%", "range": [0, 1.03], "nticks": 6}, layout=layout), title


def frontiers_panel(facts: Facts) -> Panel:
    """How many features each frontier has, and how many of them were chosen."""
    of = np.array([decision.frontier for decision in facts.selection.decisions])
    shown = min(len(facts.sizes), _FRONTIERS)
    labels = [str(number + 1) for number in range(shown)]
    taken = np.array([[((of == n + 1) & part).sum() for n in range(shown)] for part in (facts.chosen, ~facts.chosen)])
    if len(facts.sizes) > shown:
        labels.append(f"{shown + 1}+")
        rest = of > shown
        taken = np.hstack([taken, [[(rest & facts.chosen).sum()], [(rest & ~facts.chosen).sum()]]])
    return Panel(
        title="Frontiers",
        caption="The first frontier has what no other feature beats on every task at once; the second what only the "
        "first beats, and so on. Whole frontiers are taken while they fit; of the one that does not, a random part.",
        charts=(
            Chart(
                figure=_stacked(labels, taken, "frontier"),
                description=f"{facts.sizes[0] if facts.sizes else 0} features are on the first of "
                f"{len(facts.sizes)} frontiers.",
                height=280,
            ),
        ),
        legend=_LEGEND,
    )


def stability_panel(facts: Facts) -> Panel:
    """In how many resamples features are chosen, of those that were and of those that were not."""
    edges = np.linspace(0, 1, 6)
    useful = facts.worth.any(1)
    counts = np.array([
        np.histogram(facts.share[part & (useful | facts.chosen)], edges)[0] for part in (facts.chosen, ~facts.chosen)
    ])  # fmt: skip
    labels = [f"{low * 100:.0f}\N{EN DASH}{high:.0%}" for low, high in pairwise(edges)]
    return Panel(
        title="How far noise decided",
        caption=f"Importances were drawn anew {facts.resamples} times within their standard errors, and the same "
        "selection was made each time. A feature on the right is chosen whatever the noise; one in the middle might as "
        "well have fallen on the other side. More rows or repeats in the importance run move bars to the ends.",
        charts=(
            Chart(
                figure=_stacked(labels, counts, "share of resamples that choose the feature"),
                description=f"Of the chosen features {formats.percent(float(facts.share[facts.chosen].mean()))} are "
                "chosen again on average.",
                height=280,
            ),
        ),
        legend=_LEGEND,
    )


def kinds_panel(facts: Facts) -> Panel:
    """Features by kind and by domain."""
    kinds = [candidate.kind for candidate in facts.found.candidates]
    domains = list(dict.fromkeys(domain for candidate in facts.found.candidates for domain in candidate.domains))
    groups: dict[str, NDArray[np.bool_]] = {
        name: np.array([kind == name for kind in kinds]) for name in dict.fromkeys(kinds)
    }
    groups |= {
        f"in {domain}": np.array([domain in candidate.domains for candidate in facts.found.candidates])
        for domain in domains
    }
    counts = np.array([[(held & part).sum() for held in groups.values()] for part in (facts.chosen, ~facts.chosen)])
    return Panel(
        title="Which kinds, in which domains",
        caption="Candidates by what they are, and by the domains that have them; most are in several.",
        charts=(
            Chart(
                figure=_stacked([text(name) for name in groups], counts, "", horizontal=True),
                description="; ".join(
                    f"{name}: {chosen} of {chosen + left} chosen"
                    for name, chosen, left in zip(groups, *counts.tolist(), strict=True)
                ),
                height=80 + 34 * len(groups),
            ),
        ),
        legend=_LEGEND,
        wide=True,
    )


def _stacked(labels: list[str], counts: Ints, title: str, *, horizontal: bool = False) -> go.Figure:
    """Chosen and left out, one bar a label; ``counts`` is (2, labels)."""
    traces = []
    for name, style, values in zip(("chosen", "left out"), (CHOSEN, LEFT_OUT), counts.tolist(), strict=True):
        ends = {"x": values, "y": labels} if horizontal else {"x": labels, "y": values}
        traces.append(
            go.Bar(
                **ends, name=name, orientation="h" if horizontal else "v",
                marker={"color": style.colour, "line": {"color": PAPER, "width": 1}},
                hovertemplate=f"{name}: %{{{'x' if horizontal else 'y'}:,}}<extra></extra>",
            )
        )  # fmt: skip
    named = {"type": "category", **({"title": axis_title(title)} if title else {})}
    counted = {"rangemode": "tozero", "nticks": 5, "tickformat": ",d"}
    if horizontal:
        named |= {"categoryorder": "array", "categoryarray": labels[::-1]}
    x, y = (counted, named) if horizontal else (named, counted)
    return figure(traces, x=x, y=y, layout={"barmode": "stack", "bargap": 0.3})


_LEGEND = (Key(label="chosen", style=CHOSEN, form="bar"), Key(label="left out", style=LEFT_OUT, form="bar"))
