"""Permutes features and measures what each is worth to every task.

What is spent: one pass over the rows as they are, which gives the tokens of all features; then for a feature and
permutation one pass behind the feature processors, over the rows whose value of the feature changed. Rows of several
features make up a batch. A row that keeps its value, and one of a domain that lacks the feature, keep their loss.

Shapes: R rows, B places of a batch, O objectives.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from lattice_model.evaluation.metrics import SMALLEST
from lattice_model.importance.config import ImportanceConfig
from lattice_model.importance.estimate import Estimate
from lattice_model.importance.features import Feature
from lattice_model.importance.permutation import permutation
from lattice_model.importance.rows import Rows
from lattice_model.importance.stand_ins import Pick, Swap, stand_in
from lattice_model.importance.tasks import DomainTasks, domain_tasks
from lattice_model.network.model import Model
from schemas.importance import FeatureKind

_PLACES = 4096
"""Of a batch: more of them do not fit in a processor's cache."""
_LARGEST = math.log((1 - SMALLEST) / SMALLEST)
"""Logits are held within it, as metrics hold predictions off 0 and 1."""
_SURE = 3.0
"""Standard errors by which a feature is surely negligible."""


@dataclass(frozen=True, kw_only=True)
class Importance:
    """What a feature is worth to a task, in normalized entropy; see schemas.importance."""

    feature: str
    kind: FeatureKind
    domain: str
    objective: str
    mean: float
    standard_error: float
    rows: int
    repeats: int


@dataclass(frozen=True)
class _Draw:
    """A permutation of a feature in a domain; ``changed`` are the rows, from the domain's first, that it changes."""

    feature: Feature
    tasks: DomainTasks
    donors: NDArray[np.int64]
    changed: NDArray[np.int64]


class Engine:
    """A model and the rows to permute its features among. The network is left as it is."""

    def __init__(self, network: Model, rows: Rows, config: ImportanceConfig) -> None:
        self._config = config
        self._tasks = domain_tasks(rows)
        self._codes = rows.codes()
        self._pick = Pick(torch.empty(0, dtype=torch.int64))
        self._network = stand_in(network.eval(), self._pick, rows)
        self._oracle = list(rows.manifest.oracle_heads())
        self._labels_RO = torch.from_numpy(rows.labels_RO).nan_to_num(0.0)
        self._domain_R = rows.domain_R
        self._blank = rows.batches[0]
        every = [self._losses(part, ()) for part in torch.arange(len(rows.domain_R)).split(_PLACES)]
        self._base_RO = np.concatenate(every)

    def measure(self, features: Sequence[Feature]) -> list[Importance]:
        """Of every feature and task."""
        estimates = {
            (feature.name, tasks.domain): Estimate(tasks.labelled_RO, tasks.users_R)
            for feature in features
            for tasks in self._tasks_of(feature)
        }
        repeats = dict.fromkeys((feature.name for feature in features), 0)
        going = list(features)
        for repeat in range(self._config.repeats):
            draws = [self._draw(feature, tasks, repeat) for feature in going for tasks in self._tasks_of(feature)]
            for draw, increase_RO in self._increases(draws):
                estimates[draw.feature.name, draw.tasks.domain].add(increase_RO, draw.donors)
            repeats |= dict.fromkeys((feature.name for feature in going), repeat + 1)
            going = [feature for feature in going if not self._negligible(feature, estimates)]
        return [
            importance
            for feature in features
            for tasks in self._tasks
            for importance in _importances(
                feature, tasks, estimates.get((feature.name, tasks.domain)), repeats[feature.name]
            )
        ]

    def _tasks_of(self, feature: Feature) -> Iterator[DomainTasks]:
        return (tasks for tasks in self._tasks if tasks.domain in feature.domains)

    def _draw(self, feature: Feature, tasks: DomainTasks, repeat: int) -> _Draw:
        rows = tasks.span.stop - tasks.span.start
        donors = permutation(rows, seed=self._config.seed, feature=feature.name, repeat=repeat, domain=tasks.domain)
        codes = [self._codes[member][tasks.span] for member in feature.members]
        changed = np.logical_or.reduce([code != code[donors] for code in codes])
        return _Draw(feature, tasks, donors, np.flatnonzero(changed & tasks.labelled_RO.any(1)))

    def _increases(self, draws: Sequence[_Draw]) -> Iterator[tuple[_Draw, NDArray[np.float64]]]:
        """Each draw with the increase of its domain's losses, (R, O) of the domain."""
        if not draws:
            return
        rows = np.concatenate([draw.tasks.span.start + draw.changed for draw in draws])
        donors = np.concatenate([draw.tasks.span.start + draw.donors[draw.changed] for draw in draws])
        ends = np.cumsum([len(draw.changed) for draw in draws])
        losses_RO = self._swapped(torch.from_numpy(rows), torch.from_numpy(donors), draws, ends)
        changes_RO = losses_RO - self._base_RO[rows]
        for draw, change_RO in zip(draws, np.split(changes_RO, ends[:-1]), strict=True):
            increase_RO = np.zeros_like(draw.tasks.labelled_RO)
            increase_RO[draw.changed] = change_RO[:, draw.tasks.columns]
            yield draw, increase_RO * draw.tasks.labelled_RO

    def _swapped(
        self, rows: Tensor, donors: Tensor, draws: Sequence[_Draw], ends: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """The losses of rows; those before ``ends[i]``, from the last end, have the donors' values in draw i."""
        losses = [np.zeros((0, self._base_RO.shape[1]))]
        for start in range(0, len(rows), _PLACES):
            stop = min(start + _PLACES, len(rows))
            swaps = []
            for draw, end in zip(draws, ends.tolist(), strict=True):
                first, last = max(end - len(draw.changed), start), min(end, stop)
                if first < last:
                    swaps.append(Swap(draw.feature.members, slice(first - start, last - start), donors[first:last]))
            losses.append(self._losses(rows[start:stop], tuple(swaps)))
        return np.concatenate(losses)

    def _losses(self, rows_B: Tensor, swaps: tuple[Swap, ...]) -> NDArray[np.float64]:
        """Cross entropy at the oracle heads, (B, O); a number without meaning where there is no label."""
        self._pick.rows_B, self._pick.swaps = rows_B, swaps
        with torch.inference_mode():
            logits_BH = self._network(replace(self._blank, domain_B=self._domain_R[rows_B]))
            logits_BO = logits_BH[:, self._oracle].double().clamp(-_LARGEST, _LARGEST)
            return F.binary_cross_entropy_with_logits(logits_BO, self._labels_RO[rows_B], reduction="none").numpy()

    def _negligible(self, feature: Feature, estimates: dict[tuple[str, str], Estimate]) -> bool:
        """Whether it is surely so for every task."""
        parts = [(estimates[feature.name, tasks.domain], tasks.entropies_O) for tasks in self._tasks_of(feature)]
        limit = self._config.negligible
        return all(
            ((estimate.means() + _SURE * estimate.standard_errors()) < limit * entropies_O).all()
            for estimate, entropies_O in parts
        )


def _importances(feature: Feature, tasks: DomainTasks, estimate: Estimate | None, repeats: int) -> list[Importance]:
    """Of one feature to the tasks of a domain; 0 without error where the domain lacks the feature."""
    none = np.zeros(len(tasks.objectives))
    means_O, errors_O = (estimate.means(), estimate.standard_errors()) if estimate is not None else (none, none)
    return [
        Importance(
            feature=feature.name,
            kind=feature.kind,
            domain=tasks.domain,
            objective=objective,
            mean=float(means_O[i] / tasks.entropies_O[i]),
            standard_error=float(errors_O[i] / tasks.entropies_O[i]),
            rows=int(tasks.labelled_RO[:, i].sum()),
            repeats=repeats,
        )
        for i, objective in enumerate(tasks.objectives)
    ]
