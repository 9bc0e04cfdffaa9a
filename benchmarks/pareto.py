"""Lattice Filter's frontiers: how many features the first ones have by the number of tasks, and what ranking costs.

``python -m benchmarks.pareto`` ranks independent normal importances, the hardest case: nothing that helps one task
helps another. It times the product's choice beside bare moocore, our comparison of every two features (without noise,
and with it) and the plain way, a table of who dominates whom; and says with exit status 1 where ranks differ.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeVar

import moocore
import numpy as np
import typer
from rich.console import Console

from benchmarks.quality_result import Machine
from benchmarks.results import Out, Result, save
from pipelines.frontiers import Floats, Ints, frontiers_by_pairs, pareto_frontiers
from pipelines.pareto import pareto_select

console = Console(stderr=True)
_Found = TypeVar("_Found")
_ERROR = 0.3
"""The standard error of every importance, whose own spread is 1, where there is noise."""


class Ranked(Result):
    """What one table of importances gave, and the seconds that each way took."""

    tasks: int
    sizes: tuple[int, ...]
    sizes_with_noise: tuple[int, ...]
    agree: bool
    select: float
    moocore: float
    pairs: float
    pairs_with_noise: float
    plain: float


class Frontiers(Result):
    """Everything that was measured."""

    features: int
    seed: int
    machine: Machine
    ranked: tuple[Ranked, ...]


def plainly(importance_FN: Floats) -> Ints:
    """Frontiers from an (F, F) table of who dominates whom, one after the other."""
    count = len(importance_FN)
    above_FF = np.empty((count, count), dtype=bool)
    for feature, row in enumerate(importance_FN):
        above_FF[feature] = (importance_FN >= row).all(1) & (importance_FN > row).any(1)
    frontiers, left = np.zeros(count, dtype=np.int64), np.arange(count)
    dominating = above_FF.sum(1)
    while len(left):
        on = left[dominating[left] == 0]
        frontiers[on] = frontiers.max() + 1
        left = np.setdiff1d(left, on)
        dominating -= above_FF[:, on].sum(1)
    return frontiers


def measure(features: int, tasks: int, seed: int) -> Ranked:
    """Rank one table in every way."""
    importance_FN = np.random.default_rng([seed, tasks]).normal(size=(features, tasks))
    errors_FN = np.full_like(importance_FN, _ERROR)
    selection, select = _timed(lambda: pareto_select(importance_FN, features // 6, seed))
    ranks, bare = _timed(lambda: moocore.pareto_rank(importance_FN, maximise=True))
    paired, pairs = _timed(lambda: frontiers_by_pairs(importance_FN, np.zeros_like(importance_FN)))
    noisy, pairs_with_noise = _timed(lambda: pareto_frontiers(importance_FN, standard_errors=errors_FN))
    plain, plain_seconds = _timed(lambda: plainly(importance_FN))
    ours = selection.frontier_of
    return Ranked(
        tasks=tasks,
        sizes=selection.sizes,
        sizes_with_noise=tuple(np.bincount(noisy)[1:].tolist()),
        agree=all(np.array_equal(ours, other) for other in (np.asarray(ranks) + 1, paired, plain)),
        select=select,
        moocore=bare,
        pairs=pairs,
        pairs_with_noise=pairs_with_noise,
        plain=plain_seconds,
    )


def page(result: Frontiers) -> str:
    """The result as Markdown."""
    lines = [
        "# Pareto frontiers of features",
        "",
        f"{result.features:,} features with independent normal importances (seed {result.seed}). Sizes are those of "
        f"the first three frontiers; with noise: every importance has a standard error of {_ERROR}, and z is 2. By "
        "`python -m benchmarks.pareto`.",
        "",
        "| tasks | frontiers | sizes | with noise: frontiers | sizes | ranks |",
        "| ---: | ---: | --- | ---: | --- | --- |",
    ]
    for found in result.ranked:
        cells = (
            f"{found.tasks}", f"{len(found.sizes):,}", _first(found.sizes),
            f"{len(found.sizes_with_noise):,}", _first(found.sizes_with_noise),
            "equal in all ways" if found.agree else "differ",
        )  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    lines += [
        "",
        "Seconds: `pareto_select` as a whole, the ranks by moocore alone, by comparing every two features without "
        "noise and with it, and by a table of who dominates whom.",
        "",
        "| tasks | pareto_select | moocore | pairs | pairs with noise | table |",
        "| ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for found in result.ranked:
        seconds = (found.select, found.moocore, found.pairs, found.pairs_with_noise, found.plain)
        lines.append(f"| {found.tasks} | {' | '.join(f'{value:.3f}' for value in seconds)} |")
    return "\n".join([*lines, "", str(result.machine), ""])


def main(
    features: Annotated[int, typer.Option("--features", min=1, help="How many.")] = 12_000,
    tasks: Annotated[list[int] | None, typer.Option("--tasks", min=1, help="How many; may be repeated.")] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the importances.")] = 1,
    out: Out = Path("docs/results/pareto.md"),
) -> None:
    """Rank independent normal importances for 2 to 30 tasks."""
    ranked = []
    for count in tasks or (2, 3, 5, 7, 10, 15, 20, 30):
        ranked.append(measure(features, count, seed))
        console.print(f"{count} tasks: {_first(ranked[-1].sizes)}; {ranked[-1].select:.3f} s", highlight=False)
    result = Frontiers(features=features, seed=seed, machine=Machine.here(), ranked=tuple(ranked))
    save(result, page(result), out)
    print(page(result))
    sys.exit(0 if all(found.agree for found in ranked) else 1)


def _timed(work: Callable[[], _Found]) -> tuple[_Found, float]:
    started = time.perf_counter()
    found = work()
    return found, time.perf_counter() - started


def _first(sizes: tuple[int, ...]) -> str:
    return ", ".join(f"{size:,}" for size in sizes[:3]) + (", ..." if len(sizes) > 3 else "")


if __name__ == "__main__":
    typer.run(main)
