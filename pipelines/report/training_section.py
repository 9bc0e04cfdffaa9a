"""The report's chapter on the training, from the JSON of a training log."""

from collections.abc import Mapping
from typing import Any

import plotly.graph_objects as go

from pipelines.report import formats
from pipelines.report.blocks import Chart, Key, Panel, Section, Table
from pipelines.report.figures import axis_title, figure, line, text
from pipelines.report.palette import NEUTRAL, Looks, Style, category

Log = Mapping[str, Any]

_ROWS_AXIS = {"title": axis_title("rows trained on"), "tickformat": "~s", "rangemode": "tozero", "nticks": 6}


def training_section(log: Log | None, looks: Looks) -> Section:
    """Loss curves, speed and settings; None if no model was trained."""
    if log is None:
        return _section("No model has been trained in this run.", ())
    panels = (_loss_panel(log), _speed_panel(log), _heads_panel(log, looks)) if log["curve"] else ()
    lead = (
        f"{formats.count(log['rows'])} rows in {formats.seconds(log['seconds'])} on {log['device']}, for the "
        f"{log['split']} split: only rows whose labels were complete before that split begins."
    )
    return _section(lead, (*panels, _settings_table(log)))


def _section(lead: str, blocks: tuple[Panel | Table, ...]) -> Section:
    return Section(key="training", title="The training", lead=lead, blocks=blocks)


def _loss_panel(log: Log) -> Panel:
    curve = log["curve"]
    plain = Style(colour=NEUTRAL, symbol="circle", dash="dot")
    smooth = category(0)
    traces = [
        _line(curve, [point["loss"] for point in curve], "loss", plain, ".4f"),
        _line(curve, [point["smoothed"] for point in curve], "smoothed", smooth, ".4f"),
    ]
    return Panel(
        title="Loss",
        caption="The training loss as rows go by; lower is better. In the first epoch every row is scored before the "
        "model has learnt from it, so a falling line is learning and not memory.",
        charts=(
            Chart(
                figure=figure(traces, x=_ROWS_AXIS, y={"nticks": 6}, layout={"hovermode": "x unified"}),
                description=f"Training loss, smoothed: from {formats.metric(curve[0]['smoothed'])} to "
                f"{formats.metric(curve[-1]['smoothed'])} after {formats.count(curve[-1]['rows'])} rows.",
                height=280,
            ),
        ),
        legend=(Key(label="since the last point", style=plain), Key(label="smoothed", style=smooth)),
    )


def _speed_panel(log: Log) -> Panel:
    curve = log["curve"]
    trace = _line(curve, [point["rows_per_second"] for point in curve], "rows/s", category(2), ",.0f")
    return Panel(
        title="Speed",
        caption=f"Rows trained on in a second; {formats.count(round(log['rows_per_second']))} over the whole run, "
        f"which waited for data {formats.percent(log['waiting_share'])} of the time.",
        charts=(
            Chart(
                figure=figure([trace], x=_ROWS_AXIS, y={"tickformat": "~s", "rangemode": "tozero", "nticks": 6}),
                description=f"Training speed: {formats.count(round(log['rows_per_second']))} rows a second overall.",
                height=280,
            ),
        ),
    )


def _heads_panel(log: Log, looks: Looks) -> Panel:
    objectives: dict[str, dict[str | None, str]] = {}
    for head in log["heads"]:
        objective, _, window = head.partition("/")
        objectives.setdefault(objective, {})[window or None] = head
    used = {window for heads in objectives.values() for window in heads}
    return Panel(
        title="Loss of each head",
        caption="Mean binary cross entropy of the rows that train the head. Heads are not comparable with each other: "
        "the rarer the conversion, the lower the loss.",
        charts=tuple(_head_chart(log["curve"], objective, heads, looks) for objective, heads in objectives.items()),
        legend=tuple(
            Key(label=window or "immediate", style=looks.window(window))
            for window in (*looks.windows, None)
            if window in used
        ),
        wide=True,
    )


def _head_chart(curve: Any, objective: str, heads: Mapping[str | None, str], looks: Looks) -> Chart:
    losses = {window: [point["head_losses"].get(head) for point in curve] for window, head in heads.items()}
    last = {
        window: next((loss for loss in reversed(seen) if loss is not None), None) for window, seen in losses.items()
    }
    said = ", ".join(f"{window or 'immediate'} ends at {formats.metric(loss)}" for window, loss in last.items())
    traces = [
        _line(curve, seen, window or objective, looks.window(window), ".4f", connectgaps=True)
        for window, seen in losses.items()
    ]
    return Chart(
        title=objective,
        figure=figure(traces, x=_ROWS_AXIS, y={"nticks": 5, "rangemode": "tozero"}, layout={"hovermode": "x unified"}),
        description=f"Loss of {objective}: {said}.",
        height=230,
    )


def _line(
    curve: Any, values: list[float | None], name: str, style: Style, digits: str, connectgaps: bool = False
) -> go.Scatter:
    return go.Scatter(
        x=[point["rows"] for point in curve],
        y=values,
        name=text(name),
        mode="lines",
        connectgaps=connectgaps,
        line=line(style),
        hovertemplate=f"%{{y:{digits}}}",
    )


def _settings_table(log: Log) -> Table:
    facts = {
        "Model": log["network"],
        "Rows": formats.count(log["rows"]),
        "Steps": formats.count(log["steps"]),
        "Time": formats.seconds(log["seconds"]),
        "Rows a second": formats.count(round(log["rows_per_second"])),
        "Time spent waiting for data": formats.percent(log["waiting_share"]),
        "Device": log["device"],
        "Parameters of the network": formats.count(log["dense_parameters"]),
        "Parameters of the embedding tables": formats.count(log["embedding_parameters"]),
    }
    settings = {name.replace("_", " ").capitalize(): _setting(value) for name, value in log["config"].items()}
    return Table(
        title="The run and its settings",
        columns=("What", "Value"),
        rows=tuple((facts | settings).items()),
        folded=True,
    )


def _setting(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return formats.count(value)
    if isinstance(value, dict):
        return ", ".join(f"{name.replace('_', ' ')} {_setting(part)}" for name, part in value.items())
    return formats.MISSING if value is None else f"{value}"
