"""What came out, as Markdown and as pictures."""

from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from pathlib import Path
from statistics import mean

import matplotlib

from benchmarks.quality_result import Machine
from benchmarks.results import Result
from benchmarks.zipper.online import Outcome

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.dates import date2num
from matplotlib.figure import Figure

_COLOURS = tuple(f"C{place}" for place in range(10))


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
        f"{result.impressions:,} impressions, learnt from day by day as their labels became known; {seeds} seeds. Each "
        f"day's impressions were predicted before anything of that day was learnt. Gains are relative to "
        f"'{outcomes[0].strategy}' with the same seed, over all {len(outcomes[0].days)} judged days. By "
        f"`{result.command}`.",
        "",
        f"![Gain by day]({picture})",
        "",
        "| labelling | source | passes | loss | gain, % | least | most | seconds |",
        "| --- | --- |" + " ---: |" * 6,
    ]
    for name in names(outcomes):
        own = [outcome for outcome in outcomes if outcome.strategy == name]
        gain = gains(outcomes, name)
        cells = (
            f"{mean(o.samples for o in own) / result.impressions:.2f}",
            f"{mean(o.loss for o in own):.5f}",
            *(f"{value:+.3f}" for value in (mean(gain), min(gain), max(gain))),
            f"{mean(o.seconds for o in own):.0f}",
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
    for setting in result.settings:
        found = {name: mean(gains(setting.outcomes, name)) for name in kinds[1:]}
        best = max((value, name) for name, value in found.items() if name != kinds[-1])[1]
        cells = (f"**{value:+.2f}**" if name == best else f"{value:+.2f}" for name, value in found.items())
        lines.append(f"| {setting.drift:g} | {setting.delay:g} | {' | '.join(cells)} |")
    lines += ["", "Bold: the best but for the upper bound, which knows all labels at once.", ""]
    return "\n".join([*lines, str(result.machine), ""])


def draw_recorded(result: Recorded, path: Path) -> None:
    """Gain by day, mean over seeds, smoothed over a week; the range of seeds as a band."""
    outcomes = result.outcomes
    base = {(o.seed, day.day): day.loss for o in outcomes if o.strategy == outcomes[0].strategy for day in o.days}
    figure, axes = plt.subplots(figsize=(9, 5))
    for place, name in enumerate(names(outcomes)[1:]):
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
        colour = _COLOURS[place % len(_COLOURS)]
        axes.plot(at, [mean(values) for values in by_day], label=name, color=colour)
        axes.fill_between(at, [min(v) for v in by_day], [max(v) for v in by_day], color=colour, alpha=0.15, lw=0)
    axes.xaxis_date()
    axes.axhline(0, color="black", lw=0.8)
    axes.set_ylabel(f"lower loss than '{outcomes[0].strategy}', %, mean of 7 days")
    axes.legend(fontsize=8)
    _save(figure, path)


def draw_generated(result: Generated, path: Path) -> None:
    """Gain of each way by drift, one plot a delay."""
    delays = sorted({setting.delay for setting in result.settings})
    figure, plots = plt.subplots(1, len(delays), figsize=(4.5 * len(delays), 4.5), sharey=True, squeeze=False)
    for axes, delay in zip(plots[0], delays, strict=True):
        found = [setting for setting in result.settings if setting.delay == delay]
        places = range(len(found))
        for place, name in enumerate(names(found[0].outcomes)[1:]):
            values = [mean(gains(setting.outcomes, name)) for setting in found]
            axes.plot(places, values, marker="o", label=name, color=_COLOURS[place % len(_COLOURS)])
        axes.axhline(0, color="black", lw=0.8)
        axes.set_xticks(places, [f"{setting.drift:g}" for setting in found])
        axes.set_xlabel("drift: days in which items' standing is forgotten")
        axes.set_title(f"conversions after {delay:g} days on average", fontsize=10)
    plots[0][0].set_ylabel("lower loss than the longest window alone, %")
    plots[0][-1].legend(fontsize=7)
    _save(figure, path)


def _smoothed(values: list[float]) -> list[float]:
    return [mean(values[max(0, place - 3) : place + 4]) for place in range(len(values))]


def _save(figure: Figure, path: Path) -> None:
    figure.tight_layout()
    # No date of drawing in the file: the same result gives the same picture.
    figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)
