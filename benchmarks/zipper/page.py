"""What came out, as Markdown and as pictures."""

from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from pathlib import Path
from statistics import mean, median
from typing import Any

import matplotlib

from benchmarks.quality_result import Machine
from benchmarks.results import Result
from benchmarks.zipper.online import Outcome

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.dates import ConciseDateFormatter, date2num
from matplotlib.figure import Figure

_BOUND, _ZIPPED = "upper bound", "zipped"
_TICKS = (-200, -100, -50, -20, -10, -5, -2, -1, 0, 1, 2, 5, 10)


class Recorded(Result):
    """Over the impressions of a built group."""

    space: str
    sample: str | None
    objective: str
    command: str
    machine: Machine
    started: date
    impressions: int
    outcomes: tuple[Outcome, ...]


class Setting(Result):
    """One generated space, in days: how fast items' standing is forgotten, and the mean delay of conversions."""

    drift: float
    delay: float
    outcomes: tuple[Outcome, ...]


class Generated(Result):
    """Over spaces whose drift and delays are known."""

    command: str
    machine: Machine
    days: int
    judged_from: int
    shown_a_day: int
    settings: tuple[Setting, ...]


def gains(outcomes: Sequence[Outcome], name: str) -> list[float]:
    """How much lower a strategy's loss is than that of the first one with the same seed, in per cent; one a seed."""
    base = {outcome.seed: outcome.loss for outcome in outcomes if outcome.strategy == outcomes[0].strategy}
    own = {outcome.seed: outcome.loss for outcome in outcomes if outcome.strategy == name}
    return [100 * (1 - own[seed] / base[seed]) for seed in own]


def names(outcomes: Iterable[Outcome]) -> list[str]:
    return list(dict.fromkeys(outcome.strategy for outcome in outcomes))


def recorded_page(result: Recorded, picture: str) -> str:
    outcomes = result.outcomes
    seeds = len({outcome.seed for outcome in outcomes})
    lines = [
        "# The Zipper on recorded impressions",
        "",
        f"Space `{result.space}`, sample `{result.sample or 'everything'}`, objective `{result.objective}`: "
        f"{result.impressions:,} impressions, learnt from day by day by a small Lattice Network (d = 8) as their "
        f"labels became known. Each day's impressions were predicted before anything of that day was "
        f"learnt, and are judged by the label of the longest window. Gains: how much lower the loss is than that of "
        f"'{outcomes[0].strategy}' with the same seed, over all {len(outcomes[0].days)} judged days. By "
        f"`{result.command}`; seeds that were run: {seeds}.",
        "",
        f"![Gain by day]({picture})",
        "",
        "| labelling | source | passes | loss | gain, % | least | most |",
        "| --- | --- |" + " ---: |" * 5,
    ]
    for name in names(outcomes):
        own = [outcome for outcome in outcomes if outcome.strategy == name]
        gain = gains(outcomes, name)
        cells = (
            f"{mean(o.samples for o in own) / result.impressions:.2f}",
            f"{mean(o.loss for o in own):.5f}",
            *(f"{value:+.3f}" for value in (mean(gain), min(gain), max(gain))),
        )
        lines.append(f"| {name} | {own[0].source} | {' | '.join(cells)} |")
    return "\n".join([*lines, "", "Passes: samples learnt from, an impression.", "", str(result.machine), ""])


def generated_page(result: Generated, picture: str) -> str:
    first = result.settings[0].outcomes
    kinds = names(first)
    seeds = len({outcome.seed for outcome in first})
    lines = [
        "# The Zipper where drift and delay are known",
        "",
        f"Generated spaces (benchmarks/zipper/generated.py): {result.shown_a_day:,} impressions a day for "
        f"{result.days} days, of which those from day {result.judged_from} on are judged, against the true "
        f"probability; {seeds} seeds. Drift is the time in which an item's standing is forgotten (days; inf: never), "
        f"delay the mean time to a conversion (days). Cells: how much lower the loss is than that of '{kinds[0]}', "
        f"in per cent. By `{result.command}`.",
        "",
        f"![Gain by drift and delay]({picture})",
        "",
        f"| drift | delay | {' | '.join(kinds[1:])} |",
        "| ---: | ---: |" + " ---: |" * (len(kinds) - 1),
    ]
    table = {(setting.drift, setting.delay): _mean_gains(setting) for setting in result.settings}
    for (drift, delay), found in table.items():
        best = max((value, name) for name, value in found.items() if name != _BOUND)[1]
        cells = (f"**{value:+.2f}**" if name == best else f"{value:+.2f}" for name, value in found.items())
        lines.append(f"| {drift:g} | {delay:g} | {' | '.join(cells)} |")
    average = {name: mean(found[name] for found in table.values()) for name in kinds[1:]}
    ahead = [found[_ZIPPED] for found in table.values() if found[_ZIPPED] > 0]
    weights = max((name for name in kinds if name.startswith(_ZIPPED)), key=lambda name: average[name])
    others = max((name for name in kinds[1:] if name != _BOUND), key=lambda name: average[name])
    spread = median(
        max(gains(setting.outcomes, name)) - min(gains(setting.outcomes, name))
        for setting in result.settings
        for name in kinds[1:]
    )
    lines += [
        "",
        "Bold: the best but for the upper bound, which knows all labels at once.",
        "",
        f"Zipped with uniform weights is ahead of '{kinds[0]}' in {len(ahead)} of {len(table)} spaces, by "
        f"{max(ahead, default=0):.2f} at most. On the mean of all spaces, the best weights over windows are those of "
        f"'{weights}' ({average[weights]:+.2f}), the best way of all is '{others}' ({average[others]:+.2f}); the upper "
        f"bound has {average[_BOUND]:+.2f}. Between its seeds a gain differs by {spread:.2f} (median).",
        "",
    ]
    return "\n".join([*lines, str(result.machine), ""])


def _mean_gains(setting: Setting) -> dict[str, float]:
    return {name: mean(gains(setting.outcomes, name)) for name in names(setting.outcomes)[1:]}


def _styles(kinds: Sequence[str]) -> dict[str, dict[str, Any]]:
    """How each way is drawn: single windows grey, zipped ones blue, what others published warm, the bound dotted."""
    styles: dict[str, dict[str, Any]] = {_BOUND: {"color": "black", "linestyle": ":"}}
    zipped = [name for name in kinds if name.startswith(_ZIPPED)]
    single = [name for name in kinds if name.endswith(" only")]
    others = [name for name in kinds if name not in (*zipped, *single, _BOUND)]
    for family, shades, dashes in ((single, "Greys", "--"), (zipped, "winter", "-"), (others, "autumn", "-.")):
        for place, name in enumerate(family):
            share = (place + 1) / (len(family) + 1)
            styles[name] = {"color": plt.get_cmap(shades)(share), "linestyle": dashes}
    return styles


def draw_recorded(result: Recorded, path: Path) -> None:
    """Gain by day, mean over seeds, smoothed over a week; the range of seeds as a band."""
    outcomes = result.outcomes
    base = {(o.seed, day.day): day.loss for o in outcomes if o.strategy == outcomes[0].strategy for day in o.days}
    figure, axes = plt.subplots(figsize=(9, 5), layout="constrained")
    for name, style in _styles(names(outcomes)[1:]).items():
        days = [day.day for day in outcomes[0].days]
        lines = [
            _smoothed([100 * (1 - day.loss / base[o.seed, day.day]) for day in o.days])
            for o in outcomes
            if o.strategy == name
        ]
        at = date2num(  # type: ignore[no-untyped-call]
            [result.started + timedelta(days=day) for day in days]
        )
        by_day = list(zip(*lines, strict=True))
        axes.plot(at, [mean(values) for values in by_day], label=name, **style)
        least, most = [min(values) for values in by_day], [max(values) for values in by_day]
        axes.fill_between(at, least, most, color=style["color"], alpha=0.15, lw=0)
    axes.xaxis_date()
    axes.xaxis.set_major_formatter(ConciseDateFormatter(axes.xaxis.get_major_locator()))  # type: ignore[no-untyped-call]
    _scale(axes, 2)
    axes.set_ylabel(f"lower loss than '{outcomes[0].strategy}', %, mean of 7 days")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=8)
    _save(figure, path)


def draw_generated(result: Generated, path: Path) -> None:
    """Gain of each way by drift, one plot a delay."""
    delays = sorted({setting.delay for setting in result.settings})
    styles = _styles(names(result.settings[0].outcomes)[1:])
    figure, plots = plt.subplots(
        1, len(delays), figsize=(4.5 * len(delays), 5), sharey=True, squeeze=False, layout="constrained"
    )
    for axes, delay in zip(plots[0], delays, strict=True):
        found = [setting for setting in result.settings if setting.delay == delay]
        places = range(len(found))
        for name, style in styles.items():
            axes.plot(places, [_mean_gains(setting)[name] for setting in found], marker="o", label=name, **style)
        _scale(axes, 5)
        axes.set_xticks(places, [f"{setting.drift:g}" for setting in found])
        axes.set_xlabel("drift: days in which items' standing is forgotten")
        axes.set_title(f"conversions after {delay:g} days on average", fontsize=10)
    plots[0][0].set_ylabel("lower loss than the longest window alone, %")
    figure.legend(*plots[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=6, fontsize=8)
    _save(figure, path)


def _scale(axes: Axes, linear: float) -> None:
    """Logarithmic beyond so many per cent: a window that is too short loses many times what the others gain."""
    axes.set_yscale("symlog", linthresh=linear)
    least, most = axes.get_ylim()
    ticks = [tick for tick in _TICKS if least <= tick <= most]
    axes.set_yticks(ticks, [f"{tick:+}" if tick else "0" for tick in ticks])
    axes.minorticks_off()
    axes.axhline(0, color="black", lw=0.8)


def _smoothed(values: list[float]) -> list[float]:
    return [mean(values[max(0, place - 3) : place + 4]) for place in range(len(values))]


def _save(figure: Figure, path: Path) -> None:
    # No date of drawing in the file: the same result gives the same picture.
    figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)
