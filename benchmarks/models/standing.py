"""How systems stand beside each other: means over seeds, and paired intervals of their differences.

Shapes: P portfolios, S replicates.
"""

from collections.abc import Iterable, Sequence

import numpy as np

from benchmarks.models.cell import Cell, Outcome
from benchmarks.models.store import Store
from benchmarks.models.tuning import counted
from benchmarks.results import Result
from lattice_model.evaluation.bootstrap import interval
from lattice_model.evaluation.comparison import METRICS
from lattice_model.evaluation.metrics import Floats
from lattice_model.evaluation.results import Interval, PortfolioMetrics


class Portfolio(Result):
    """One portfolio's metrics, means over seeds."""

    name: str
    in_mean: bool
    positives: int
    auc: float | None
    normalized_entropy: float | None
    bce: float | None
    calibration: float | None
    """Predicted over observed positives."""


class Difference(Result):
    """One system minus another, with 95 % intervals by users; seeds are averaged in each replicate."""

    mean_auc: Interval
    mean_normalized_entropy: Interval
    auc: dict[str, Interval]
    """By portfolio."""


class Standing(Result):
    """A system in one stage of the grid."""

    name: str
    seeds: int
    portfolios: tuple[Portfolio, ...]
    mean_auc: float
    mean_normalized_entropy: float
    spread_auc: float
    """Standard deviation of the mean AUC between seeds; 0 for one seed."""
    spread_normalized_entropy: float
    mflops: float | None
    """To score an impression for all of its objectives, on average over the test rows."""
    mparams: float | None
    """Of all models together, without tables."""
    embedding_mparams: float | None
    rows_per_second: float | None
    """Of training, distinct rows over the time of all models; one thread."""
    behind: Difference | None = None


def standing(name: str, seeds: Iterable[Sequence[Cell]], store: Store) -> Standing | None:
    """Of the seeds whose cells, one a part, are all known; None without any."""
    known = [
        [store.outcomes[cell.key] for cell in cells]
        for cells in seeds
        if cells and all(cell.key in store.outcomes and not store.outcomes[cell.key].failed for cell in cells)
    ]
    if not known:
        return None
    by_seed = [[portfolio for outcome in outcomes for portfolio in outcome.portfolios] for outcomes in known]
    aucs, entropies = (
        [float(np.mean([getattr(part, metric) for part in counted(portfolios)])) for portfolios in by_seed]
        for metric in METRICS
    )
    return Standing(
        name=name,
        seeds=len(known),
        portfolios=tuple(_portfolio(parts) for parts in zip(*by_seed, strict=True)),
        mean_auc=float(np.mean(aucs)),
        mean_normalized_entropy=float(np.mean(entropies)),
        spread_auc=_spread(aucs),
        spread_normalized_entropy=_spread(entropies),
        mflops=_mflops(known[0]),
        mparams=_sum([outcome.dense_mparams for outcome in known[0]]),
        embedding_mparams=_sum([outcome.embedding_mparams for outcome in known[0]]),
        rows_per_second=_speed(known),
    )


def difference(first: Iterable[Sequence[Cell]], second: Iterable[Sequence[Cell]], store: Store) -> Difference | None:
    """First minus second; None where either has no seed that is whole, or they have no portfolio in common."""
    ours, theirs = (_replicates(seeds, store) for seeds in (first, second))
    names = [name for name in ours if name in theirs]
    if not names:
        return None
    in_means = [label(part) for part in counted([ours[name][0] for name in names])]
    spread: dict[str, dict[str, Floats]] = {}
    estimate: dict[str, dict[str, float]] = {}
    for metric in METRICS:
        spread[metric] = {name: ours[name][1][metric] - theirs[name][1][metric] for name in names}
        estimate[metric] = {name: ours[name][2][metric] - theirs[name][2][metric] for name in names}
    means = {
        metric: interval(
            float(np.mean([estimate[metric][name] for name in in_means])),
            np.mean([spread[metric][name] for name in in_means], axis=0),
        )
        for metric in METRICS
    }
    return Difference(
        mean_auc=means["auc"],
        mean_normalized_entropy=means["normalized_entropy"],
        auc={name: interval(estimate["auc"][name], spread["auc"][name]) for name in names},
    )


def label(part: PortfolioMetrics) -> str:
    return "/".join(filter(None, (part.domain, part.objective, part.window)))


_Replicated = dict[str, tuple[PortfolioMetrics, dict[str, Floats], dict[str, float]]]


def _replicates(seeds: Iterable[Sequence[Cell]], store: Store) -> _Replicated:
    """By portfolio: what it is, its metrics in each replicate and on all rows, both averaged over seeds."""
    collected: dict[str, list[tuple[PortfolioMetrics, dict[str, Floats]]]] = {}
    for cells in seeds:
        outcomes = [store.outcomes.get(cell.key) for cell in cells]
        if not outcomes or any(outcome is None or outcome.failed for outcome in outcomes):
            continue
        for outcome in filter(None, outcomes):
            arrays = store.replicates(outcome.key)
            for position, part in enumerate(outcome.portfolios):
                found = {metric: arrays[metric][position] for metric in METRICS}
                collected.setdefault(label(part), []).append((part, found))
    return {
        name: (
            seen[0][0],
            {metric: np.mean([arrays[metric] for _, arrays in seen], axis=0) for metric in METRICS},
            {metric: float(np.mean([getattr(part, metric) for part, _ in seen])) for metric in METRICS},
        )
        for name, seen in collected.items()
        if seen[0][0].auc is not None
    }


def _portfolio(parts: Sequence[PortfolioMetrics]) -> Portfolio:
    first = parts[0]
    return Portfolio(
        name=label(first),
        in_mean=first.in_mean,
        positives=first.positives,
        auc=_mean([part.auc for part in parts]),
        normalized_entropy=_mean([part.normalized_entropy for part in parts]),
        bce=_mean([part.bce for part in parts]),
        calibration=_mean([part.calibration for part in parts]),
    )


def _mflops(outcomes: Sequence[Outcome]) -> float | None:
    """Each part's, as often as its domain's rows occur."""
    rows: dict[str, int] = {}
    for outcome in outcomes:
        for part in outcome.portfolios:
            rows[part.domain] = max(rows.get(part.domain, 0), part.rows)
    each = [
        None
        if outcome.mflops is None
        else outcome.mflops * sum(rows[domain] for domain in {part.domain for part in outcome.portfolios})
        for outcome in outcomes
    ]
    total = _sum(each)
    return None if total is None else total / sum(rows.values())


def _speed(seeds: Sequence[Sequence[Outcome]]) -> float | None:
    """Rows of all parts that share a domain are counted once."""
    found = []
    for outcomes in seeds:
        seconds = _sum([o.trained_rows / o.rows_per_second if o.rows_per_second else None for o in outcomes])
        rows = {str(o.cell.part.domain): o.trained_rows for o in outcomes}
        found.append(None if seconds is None else sum(rows.values()) / seconds)
    return _mean(found)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _sum(values: Sequence[float | None]) -> float | None:
    return None if None in values else sum(value for value in values if value is not None)


def _spread(values: Sequence[float]) -> float:
    return float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
