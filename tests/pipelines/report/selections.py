"""Plausible selections to render, of any size, made by formula."""

from dataclasses import replace
from datetime import UTC, date, datetime

import numpy as np

from pipelines.deciding import Wishes, choose, chosen_share, in_order
from pipelines.importances import Importances
from pipelines.report.selection.facts import Facts
from schemas.narrowing import Candidate, Kind
from schemas.selection import Selection
from schemas.space import Cost

KINDS: tuple[Kind, ...] = ("categorical", "dense", "dense", "dense", "sequence")
DOMAINS = ("feed", "search", "mail", "shop", "video")


def found(features: int, tasks: int, costs: bool = True) -> Importances:
    """A fifth of the features is worth nothing; others are worth most to one task, and something to all."""
    random = np.random.default_rng([features, tasks])
    means = random.lognormal(-7, 1.5, (features, 1)) * random.lognormal(0, 1, (features, tasks))
    means[::5] = random.normal(0, 1e-5, means[::5].shape)
    errors = np.full_like(means, 1e-4)
    return Importances(
        run_id="2024-06-01",
        model="3f2a9c51b7de",
        data_version=7,
        metric="ne",
        rows=184_201,
        repeats=5,
        computed_at=datetime(2024, 6, 1, 2, 30, tzinfo=UTC),
        tasks=tuple((DOMAINS[task % len(DOMAINS)], f"goal_{task // len(DOMAINS) + 1}") for task in range(tasks)),
        candidates=tuple(
            Candidate(
                name=f"{('user', 'item', 'user_item')[number % 3]}_quantity_{number}d",
                kind=KINDS[number % len(KINDS)],
                domains=DOMAINS if number % 4 else DOMAINS[:2],
                cost=Cost(compute=float(1 + number % 3), storage=4.0) if costs else Cost(),
            )
            for number in range(features)
        ),
        means=means,
        standard_errors=errors,
        measured=np.ones(features, dtype=bool),
    )


def facts(features: int, tasks: int, *, target: int | None = None, noise: bool = True, costs: bool = True) -> Facts:
    """What the report of such a selection shows; without noise, thousands of features are ranked at once."""
    measured = found(features, tasks, costs)
    wishes = Wishes(target=features // 4 if target is None else target, z=2.0 if noise else None)
    choice = choose(measured, wishes, {}, pinned=[measured.names[0]])
    resamples = 20 if features < 1000 else 2
    return Facts(
        space="shop",
        title="A small shop",
        group="all",
        selection=Selection(
            version=3,
            effective_from=date(2024, 6, 2),
            made_at=datetime(2024, 6, 1, 9, 15, tzinfo=UTC),
            target=wishes.target,
            seed=wishes.seed,
            z=wishes.z,
            criteria=(),
            run_id=measured.run_id,
            model=measured.model,
            importance_version=4,
            data_version=7,
            decisions=choice.decisions,
        ),
        found=measured,
        sizes=choice.selection.sizes,
        order=in_order(measured, wishes, {}),
        share=chosen_share(measured, wishes, {}, resamples),
        resamples=resamples,
        row_bytes=np.array([{"categorical": 8, "dense": 4, "sequence": 612}[c.kind] for c in measured.candidates]),
        warnings=choice.selection.warnings,
    )


def renamed(shown: Facts, name: str) -> Facts:
    """The same, with another name for the first feature, the first task and the title."""
    first = replace(shown.found.candidates[0], name=name)
    measured = replace(
        shown.found,
        candidates=(first, *shown.found.candidates[1:]),
        tasks=((name, name), *shown.found.tasks[1:]),
        means=np.vstack([np.ones_like(shown.found.means[:1]), shown.found.means[1:]]),
    )
    decisions = shown.selection.decisions
    named = (decisions[0].model_copy(update={"feature": name}), *decisions[1:])
    selection = shown.selection.model_copy(update={"decisions": named})
    return replace(shown, found=measured, selection=selection, title=name)
