"""The page and the figure of the comparison of models."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import matplotlib

from benchmarks.models.standing import Difference, Standing
from benchmarks.quality_result import Machine
from benchmarks.results import Result
from lattice_model.evaluation.results import MINIMUM_POSITIVES, MINIMUM_USERS, Interval

matplotlib.use("Agg")
import matplotlib.pyplot as plt

_HEAD = """# Models beside each other

Space `{result.space}`, group `{result.group}`, sample `{sample}`: {training:,} training rows, of which a fixed
{result.rows:,} by hash serve the full grid; all evaluation rows. By `{result.command}`;
{result.cells} cells are known.

{tuning}

Means are over the portfolios with at least {positives} positives and {users} users with one; * marks the others.
Differences are the first named minus the row's (AUC: above 0, NE: below 0 is better for the first), with 95 % intervals
by a bootstrap over users, paired, seeds averaged; ± is the standard deviation between seeds. MFLOPs are to score an
impression for all of its objectives, MParams those of all models together; rows/s are of training with one thread on a
machine that others used more or less: compare MFLOPs, not them. Separate models see the features of their domain; a
model a portfolio has the heads of its objective's windows.
"""


_TUNED = """Every system gets the same tuning: {trials} settings (Optuna's TPE, seeded; the first settings are one of
them), each trained on rows available before the validation range and judged by the mean NE there. The best settings are
trained again on the rows available before the test range, with {seeds} seeds, and reported on it. Nothing is
chosen by the test range, and no network stops early. Networks may vary learning rates, epochs (1 or 2), the width of
tokens, dropout and the dropout of users' ids; LightGBM (without users' ids) its learning rate, leaves, rows a leaf,
features a tree and L2, its number of trees by early stopping on validation."""

_UNTUNED = """Nothing is tuned: every system has its first settings, the same for all networks, and is trained on the
rows available before the test range, with {seeds} seeds, and reported on it. No network stops early; LightGBM (without
users' ids) chooses its number of trees by early stopping on validation. After equal tuning the order may be another."""


_METRICS = {"AUC": "auc", "NE": "normalized_entropy", "BCE": "bce", "predicted / observed": "calibration"}


class Stage(Result):
    """Systems in one stage of the grid; differences are of ``base`` minus each other one."""

    title: str
    base: str
    standings: tuple[Standing, ...]


class Tuned(Result):
    """The best settings of a part and their score, the mean normalized entropy on the validation range."""

    system: str
    part: str
    settings: dict[str, Any]
    score: float


class Compared(Result):
    """Everything that is known so far."""

    command: str
    machine: Machine
    space: str
    group: str
    sample: str | None
    fingerprint: str
    """The manifest's, which pins every table."""
    training_rows: int
    rows: int
    trials: int
    seeds: int
    cells: int
    stages: tuple[Stage, ...]
    tuned: tuple[Tuned, ...]


def page(result: Compared, image: str) -> str:
    """The result as Markdown; ``image`` is the figure's place."""
    known = [stage for stage in result.stages if stage.standings]
    lines = [
        _HEAD.format(
            sample=result.sample or "all",
            result=result,
            tuning=(_TUNED if result.trials else _UNTUNED).format(trials=result.trials, seeds=result.seeds),
            training=result.training_rows,
            users=MINIMUM_USERS,
            positives=MINIMUM_POSITIVES,
        )
    ]
    if known:
        lines += [f"![AUC by operations]({image})", ""]
    for stage in known:
        lines += [f"## {stage.title}", "", *_standings(stage), "", *_portfolios(stage), ""]
    if result.tuned:
        header = ("system", "part", "settings", "validation NE")
        rows = ((one.system, one.part, _settings(one.settings), f"{one.score:.4f}") for one in result.tuned)
        lines += ["## Best settings", "", *as_table(header, rows), ""]
    return "\n".join([*lines, str(result.machine), ""])


def _standings(stage: Stage) -> list[str]:
    header = (
        "system", "mean AUC", "mean NE", f"AUC, {stage.base} minus it", "NE", "MFLOPs", "dense MParams",
        "embedding MParams", "rows/s", "seeds",
    )  # fmt: skip
    ranked = sorted(stage.standings, key=lambda one: -one.mean_auc)
    return as_table(header, (_row(one) for one in ranked))


def _row(one: Standing) -> tuple[str, ...]:
    return (
        one.name,
        f"{one.mean_auc:.4f} ± {one.spread_auc:.4f}",
        f"{one.mean_normalized_entropy:.4f} ± {one.spread_normalized_entropy:.4f}",
        *_behind(one.behind),
        show_number(one.mflops, 3),
        show_number(one.mparams, 3),
        show_number(one.embedding_mparams, 3),
        show_number(one.rows_per_second, 0),
        str(one.seeds),
    )


def _portfolios(stage: Stage) -> list[str]:
    """The metrics of each portfolio, a column a portfolio."""
    names = [part.name + ("" if part.in_mean else " *") for part in stage.standings[0].portfolios]
    by_name = [{part.name: part for part in one.portfolios} for one in stage.standings]
    lines: list[str] = []
    for title, metric in _METRICS.items():
        rows = (
            (one.name, *(show_number(getattr(parts[name.removesuffix(" *")], metric), 4) for name in names))
            for one, parts in zip(stage.standings, by_name, strict=True)
        )
        lines += ["", *as_table((title, *names), rows)]
    found = [(one.name, one.behind.auc) for one in stage.standings if one.behind is not None]
    if found:
        rows = ((name, *(show_interval(auc.get(part.removesuffix(" *"))) for part in names)) for name, auc in found)
        lines += ["", *as_table((f"AUC, {stage.base} minus", *names), rows)]
    return lines[1:]


def _behind(found: Difference | None) -> tuple[str, str]:
    if found is None:
        return "", ""
    return show_interval(found.mean_auc), show_interval(found.mean_normalized_entropy)


def show_interval(found: Interval | None) -> str:
    if found is None or found.estimate is None or found.low is None or found.high is None:
        return ""
    return f"{found.estimate:+.4f} [{found.low:+.4f}, {found.high:+.4f}]"


def show_number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:,.{digits}f}"


def _settings(settings: dict[str, Any]) -> str:
    found = {name.rpartition(".")[2]: value for name, value in settings.items()}
    return ", ".join(f"{name} {value:.3g}" for name, value in found.items())


def as_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    marks = ["---", *["---:"] * (len(header) - 1)]
    return ["| " + " | ".join(cells) + " |" for cells in (header, marks, *rows)]


def draw(result: Compared, path: Path) -> None:
    """Mean AUC and mean NE by operations, of the first stage that has any system."""
    stage = next((stage for stage in result.stages if stage.standings), None)
    if stage is None:
        return
    figure, plots = plt.subplots(1, 2, figsize=(13, 4.5), layout="constrained")
    colors = plt.get_cmap("tab20")
    for axes, metric in zip(plots, ("mean_auc", "mean_normalized_entropy"), strict=True):
        for number, one in enumerate(stage.standings):
            value = getattr(one, metric)
            if one.mflops is None:
                axes.axhline(value, color=colors(number), lw=1, ls="--", label=one.name)
                continue
            error = one.spread_auc if metric == "mean_auc" else one.spread_normalized_entropy
            base = one.name == stage.base
            axes.errorbar(
                one.mflops, value, yerr=error, fmt="*" if base else "o", ms=12 if base else 6, color=colors(number),
                label=one.name,
            )  # fmt: skip
        axes.set_xlabel("MFLOPs a sample")
        axes.set_ylabel({"mean_auc": "mean AUC", "mean_normalized_entropy": "mean NE"}[metric])
    figure.legend(*plots[0].get_legend_handles_labels(), loc="outside right upper", fontsize=8)
    figure.suptitle(stage.title, fontsize=10)
    # No date of drawing in the file: the same result gives the same picture.
    figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)
