"""The page and the figure of the comparison of ways to choose features."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib

from benchmarks.filter.ways import BASELINE, PARETO
from benchmarks.models.page import as_table, show_interval, show_number
from benchmarks.models.standing import Portfolio, Standing
from benchmarks.quality_result import Machine
from benchmarks.results import Result
from lattice_model.evaluation.results import MINIMUM_POSITIVES, MINIMUM_USERS

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes


class Chosen(Result):
    """One way at one target; ``behind`` of the standing is Pareto minus it."""

    way: str
    target: int
    features: int
    """How many it chose; with several seeds, in the first."""
    common: int
    """How many of these Pareto chose too, with the first seed."""
    standing: Standing


class Filtered(Result):
    """Everything that is known so far."""

    command: str
    machine: Machine
    space: str
    sample: str | None
    rates: dict[str, float]
    """Of the sample, by domain."""
    fingerprint: str
    """The manifest's, which pins every table."""
    candidates: int
    useful: int
    """Candidates whose importance is above twice its standard error for some task."""
    tasks: tuple[str, ...]
    sizes: tuple[int, ...]
    """Of the frontiers, as in the paper."""
    training_rows: int
    permuted_rows: int
    seeds: int
    everything: Standing | None
    """A model with all features."""
    chosen: tuple[Chosen, ...]


_HEAD = """# Features from a pool of thousands

Space `{result.space}`, sample `{sample}`{rates}: {result.candidates:,} candidate features (ids and numbers;
sequences are kept by all), declared as a product of keys, horizons, aggregates and prices by
`python -m benchmarks.filter pool`. By `{result.command}`.

A Lattice Network with all of them is trained on rows available before the validation range (of a fixed
{result.training_rows:,} by hash) and gives the importance of every feature to {tasks} tasks, from
{result.permuted_rows:,} validation rows. Each way chooses from these, or from what it names; a new network with the
chosen features alone is trained on the rows available before the test range, with up to {seeds}, and
reported on it. Settings are the same for all, and nothing is chosen by the test range.

- **{pareto}**: whole frontiers, the last one by a draw (3.2.2); **filled by importance**: the last one by the share of
  the tasks' importance; **of what is above noise**: frontiers by standard errors, and no feature without an importance
  of twice its own, which {result.useful:,} have (`lattice select --fill importance`).
- **{baseline}**: those that the loss of all tasks needs most, as weighted in training; **mean of tasks**: by the mean
  of the tasks' normalized entropies; **one task**: by that with most positives.
- **LightGBM's gain**: one LightGBM a task, shares of gain summed. **SHARK**: by a first-order Taylor expansion, a
  method of ERASE's.

The first frontiers have {sizes} features.
"""

_TABLE = """A loss is the mean normalized entropy over that of the model with all features; that of the worst task is
its own. ± is the standard deviation of the mean NE between seeds; differences are Pareto's minus the row's (NE: below 0
is better for Pareto), with 95 % intervals by a bootstrap over users, paired, seeds averaged, which say nothing about
seeds. Over portfolios with at least {positives} positives and {users} users with one."""


def page(result: Filtered, image: str) -> str:
    """The result as Markdown; ``image`` is the figure's place."""
    sizes = ", ".join(f"{size:,}" for size in result.sizes[:5]) + (", ..." if len(result.sizes) > 5 else "")
    rates = ", ".join(f"{domain} {share:g}" for domain, share in result.rates.items())
    head = _HEAD.format(
        result=result,
        sample=result.sample or "all",
        rates=rates and f" ({rates} of the impressions)",
        seeds=_count(result.seeds, "seed"),
        tasks=len(result.tasks),
        sizes=sizes,
        pareto=PARETO,
        baseline=BASELINE,
    )
    lines = [head]
    if (everything := result.everything) is None:
        return "\n".join([*lines, str(result.machine), ""])
    lines += [f"![Loss by the number of features]({image})", ""]
    lines += [_TABLE.format(positives=MINIMUM_POSITIVES, users=MINIMUM_USERS), ""]
    lines += [
        f"All {result.candidates:,}: mean NE {everything.mean_normalized_entropy:.4f} ± "
        f"{everything.spread_normalized_entropy:.4f}, mean AUC {everything.mean_auc:.4f}, "
        f"{_count(everything.seeds, 'seed')}.",
        "",
    ]
    for target in sorted({one.target for one in result.chosen}):
        lines += [f"## {target:,} features", "", *_table(result, everything, target), ""]
    return "\n".join([*lines, str(result.machine), ""])


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" + ("s" if number > 1 else "")


def _table(result: Filtered, everything: Standing, target: int) -> list[str]:
    found = sorted(
        (one for one in result.chosen if one.target == target), key=lambda one: one.standing.mean_normalized_entropy
    )
    tasks = [part.name for part in _counted(everything)]
    header = (
        "way", "features", "as Pareto's", "mean NE", "loss", "worst task", "mean AUC", "NE, Pareto minus it", *tasks,
        "seeds",
    )  # fmt: skip
    rows = []
    for one in found:
        stands, losses = one.standing, losses_of(one.standing, everything)
        behind = stands.behind
        rows.append(
            (
                one.way,
                f"{one.features:,}",
                f"{one.common:,}",
                f"{stands.mean_normalized_entropy:.4f} ± {stands.spread_normalized_entropy:.4f}",
                f"{mean_loss(stands, everything):+.2%}",
                f"{max(losses.values()):+.2%}" if losses else "",
                show_number(stands.mean_auc, 4),
                "" if behind is None else show_interval(behind.mean_normalized_entropy),
                *(f"{losses[task]:+.2%}" if task in losses else "" for task in tasks),
                str(stands.seeds),
            )
        )
    return as_table(header, rows)


def losses_of(one: Standing, everything: Standing) -> dict[str, float]:
    """By portfolio that counts: how much larger its normalized entropy is than that of all features."""
    before = {part.name: part.normalized_entropy for part in _counted(everything)}
    return {
        part.name: part.normalized_entropy / whole - 1
        for part in one.portfolios
        if part.normalized_entropy is not None and (whole := before.get(part.name))
    }


def _counted(everything: Standing) -> list[Portfolio]:
    """Those with enough positives; all, if none has."""
    known = [part for part in everything.portfolios if part.normalized_entropy is not None]
    return [part for part in known if part.in_mean] or known


def mean_loss(one: Standing, everything: Standing) -> float:
    return one.mean_normalized_entropy / everything.mean_normalized_entropy - 1


def draw(result: Filtered, path: Path) -> None:
    """The loss on the mean and of the worst task, by the number of features, a line a way."""
    everything = result.everything
    if everything is None or not result.chosen:
        return
    figure, plots = plt.subplots(1, 2, figsize=(13, 4.5), layout="constrained", sharey=True)
    for number, way in enumerate(dict.fromkeys(one.way for one in result.chosen)):
        ours = sorted((one for one in result.chosen if one.way == way), key=lambda one: one.target)
        targets = [one.target for one in ours]
        means = [100 * mean_loss(one.standing, everything) for one in ours]
        worst = [100 * max(losses_of(one.standing, everything).values(), default=0.0) for one in ours]
        for axes, losses in zip(plots, (means, worst), strict=True):
            _line(axes, targets, losses, way, number)
    for axes, title in zip(plots, ("mean of tasks", "worst task"), strict=True):
        axes.axhline(0, color="grey", lw=0.8, ls="--")
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("features chosen")
        axes.set_xticks(sorted({one.target for one in result.chosen}))
    plots[0].set_ylabel("normalized entropy over all features', %")
    figure.legend(*plots[0].get_legend_handles_labels(), loc="outside right upper", fontsize=8)
    figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)


def _line(axes: Axes, targets: Sequence[int], losses: Sequence[float], way: str, number: int) -> None:
    ours = way.startswith(PARETO)
    axes.plot(
        targets, losses, marker="o" if ours else "s", ms=4, lw=1.8 if ours else 1.0, ls="-" if ours else "--",
        color=plt.get_cmap("tab10")(number), label=way,
    )  # fmt: skip
