"""Plots of features against tasks: heat map, pairs of tasks, parallel coordinates.

Of thousands of features the most important ones are drawn; the list of the page and the CSV have all.
"""

from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import plotly.graph_objects as go

from pipelines.frontiers import Floats, Ints
from pipelines.report.blocks import Chart, Key, Panel
from pipelines.report.figures import axis_title, figure, text
from pipelines.report.palette import INK, MUTED, PAPER, category
from pipelines.report.selection.facts import Facts
from pipelines.report.selection.kept_panels import CHOSEN, LEFT_OUT

_ROWS, _LINES, _DOTS, _PAIRS = 30, 40, 300, 6
_LABEL = 24
_LEAST = 1e-3
_TICKS = {"tickvals": [-3, -2, -1, 0], "ticktext": ["\N{LESS-THAN OR EQUAL TO}0.1%", "1%", "10%", "100%"]}
_FIRST = category(1)


def heat_panel(facts: Facts) -> Panel:
    """The most important features by task."""
    rows = _most_important(facts, _ROWS)[::-1]
    shown = facts.relative[rows]
    marks = ["\N{BLACK CIRCLE}" if facts.chosen[row] else "\N{WHITE CIRCLE}" for row in rows]
    labels = [f"{mark} {_short(facts.names[row])}" for mark, row in zip(marks, rows, strict=True)]
    heat = go.Heatmap(
        z=_logged(shown).tolist(),
        x=list(range(len(facts.tasks))),
        y=list(range(len(rows))),
        customdata=shown.round(4).tolist(),
        text=[[f"{text(facts.names[row])}<br>{text(task)}" for task in facts.tasks] for row in rows],
        hovertemplate="%{text}: %{customdata:.1%}<extra></extra>",
        zmin=-3,
        zmax=0,
        xgap=1,
        ygap=1,
        colorscale=[[0, PAPER], [1, CHOSEN.colour]],
        colorbar={
            **_TICKS,
            "orientation": "h",
            "thickness": 10,
            "y": 1,
            "yanchor": "bottom",
            "outlinewidth": 0,
            "tickfont": {"color": MUTED, "size": 12},
        },
    )
    return Panel(
        title="What each feature is worth to each task",
        caption=f"{_most(len(rows), facts)} Colour is importance over that of the task's most important feature, each "
        "step ten times as much. A full circle before the name: chosen.",
        charts=(
            Chart(
                figure=figure(
                    [heat],
                    x={**_task_axis(facts), "showgrid": False},
                    y={
                        "tickvals": list(range(len(rows))),
                        "ticktext": [text(label) for label in labels],
                        "showgrid": False,
                    },
                ),
                description=f"Importance of {len(rows)} features to {len(facts.tasks)} tasks.",
                height=190 + 20 * len(rows),
                least_width=_width(facts),
            ),
        ),
        wide=True,
    )


def parallel_panel(facts: Facts) -> Panel:
    """A line a feature over all tasks."""
    rows = _of_both(facts, _LINES)
    traces = []
    for name, style, part in (("left out", LEFT_OUT, ~facts.chosen), ("chosen", CHOSEN, facts.chosen)):
        mine = rows[part[rows]]
        traces += [
            go.Scatter(
                x=list(range(len(facts.tasks))),
                y=_logged(facts.relative[row]).tolist(),
                mode="lines",
                opacity=0.75,
                line={"color": style.colour, "width": 1.6, "dash": "solid" if name == "chosen" else "dot"},
                text=f"{text(facts.names[row])}, {name}",
                hovertemplate="%{text}<extra></extra>",
            )
            for row in mine
        ]
    return Panel(
        title="Parallel coordinates",
        caption=f"{_shown(len(rows), facts)} A line is a feature, over all tasks: one that lies below another "
        "everywhere is dominated by it.",
        charts=(
            Chart(
                figure=figure(traces, x=_task_axis(facts), y={**_TICKS, "range": [-3.1, 0.1]}),
                description=f"Importance of {len(rows)} features over {len(facts.tasks)} tasks.",
                height=360,
                least_width=_width(facts),
            ),
        ),
        legend=(Key(label="chosen", style=CHOSEN), Key(label="left out", style=replace(LEFT_OUT, dash="dot"))),
        wide=True,
    )


def pairs_panel(facts: Facts) -> Panel:
    """The features on two tasks at a time, for the tasks that agree least."""
    rows = _of_both(facts, _DOTS)
    frontier = np.array([decision.frontier for decision in facts.selection.decisions])
    parts = (
        (~facts.chosen & (frontier != 1), LEFT_OUT, "left out"),
        (~facts.chosen & (frontier == 1), _FIRST, "first frontier, left out"),
        (facts.chosen, CHOSEN, "chosen"),
    )
    charts = []
    for one, other in _pairs(facts.relative[rows]):
        traces = [
            go.Scatter(
                x=_logged(facts.relative[mine, one]).tolist(),
                y=_logged(facts.relative[mine, other]).tolist(),
                mode="markers",
                marker={
                    "color": style.colour if name == "chosen" else PAPER,
                    "symbol": style.symbol,
                    "size": 8,
                    "line": {"color": style.colour, "width": 1.5},
                },
                text=[f"{text(facts.names[row])}, {name}" for row in mine],
                hovertemplate="%{text}<extra></extra>",
            )
            for part, style, name in parts
            if (mine := rows[part[rows]]).size
        ]
        axes = [{**_TICKS, "range": [-3.15, 0.15], "title": axis_title(facts.tasks[task])} for task in (one, other)]
        charts.append(
            Chart(
                figure=figure(traces, x=axes[0], y=axes[1]),
                description=f"{facts.tasks[one]} against {facts.tasks[other]}.",
                height=320,
            )
        )
    return Panel(
        title="Pairs of tasks",
        caption=f"{_shown(len(rows), facts)} The {len(charts)} pairs of tasks that agree least: what is worth much to "
        "one and little to the other is why one list for all tasks needs frontiers.",
        charts=tuple(charts),
        legend=tuple(
            Key(label=name, style=style, form="marker" if name == "chosen" else "hollow")
            for part, style, name in reversed(parts)
            if part[rows].any()
        ),
        wide=True,
    )


def _pairs(values: Floats) -> list[tuple[int, int]]:
    """The tasks whose importances agree least, by the correlation of their logarithms; values are (rows, N)."""
    tasks = values.shape[1]
    agree = np.zeros((tasks, tasks))
    if len(values) > 1:
        with np.errstate(invalid="ignore"):
            agree = np.nan_to_num(np.corrcoef(_logged(values), rowvar=False)).reshape(tasks, tasks)
    return sorted(combinations(range(tasks), 2), key=lambda pair: (agree[pair], pair))[:_PAIRS]


def _logged(values: Floats) -> Floats:
    found: Floats = np.log10(np.maximum(values, _LEAST)).round(3)
    return found


def _task_axis(facts: Facts) -> dict[str, Any]:
    count = len(facts.tasks)
    labels = [text(task).replace(" · ", "<br>") if count <= 6 else text(task) for task in facts.tasks]
    angle = {"tickangle": 0} if count <= 6 else {"tickangle": -90}
    return {
        "tickvals": list(range(count)), "ticktext": labels, "range": [-0.5, count - 0.5],
        "tickfont": {"color": INK, "size": 12}, **angle,
    }  # fmt: skip


def _most_important(facts: Facts, count: int) -> Ints:
    """Of the features that are worth anything."""
    return facts.best[: min(count, int(facts.worth.any(1).sum()))]


def _of_both(facts: Facts, count: int) -> Ints:
    """Half of them chosen, half left out, each the most important; more of one where the other has less."""
    every = _most_important(facts, len(facts.names))
    if len(every) <= count:
        return every
    chosen, left = every[facts.chosen[every]], every[~facts.chosen[every]]
    first = max(count // 2, count - len(left))
    return np.concatenate([chosen[:first], left[: count - min(first, len(chosen))]])


def _width(facts: Facts) -> int:
    """So wide that the names of many tasks stand apart."""
    return 220 + 20 * len(facts.tasks) if len(facts.tasks) > 6 else 0


def _most(shown: int, facts: Facts) -> str:
    count = len(facts.names)
    return "Every feature." if shown == count else f"The {shown} most important of {count:,} features."


def _shown(shown: int, facts: Facts) -> str:
    useful = int(facts.worth.any(1).sum())
    if shown == useful:
        return "Every feature that is worth anything."
    return f"Of {useful:,} features that are worth anything the {shown} most important, half of them chosen ones."


def _short(name: str) -> str:
    return name if len(name) <= _LABEL else name[: _LABEL - 9] + "\N{HORIZONTAL ELLIPSIS}" + name[-8:]
