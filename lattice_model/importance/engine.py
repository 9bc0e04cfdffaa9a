"""Permutes features and measures what each is worth to every task.

What is spent: one pass over the rows as they are, which gives the tokens of all features; then for a feature and
permutation one pass behind the feature processors, over the rows whose value of the feature changed. Rows of several
features make up a batch. A row that keeps its value, and one of a domain that lacks the feature, keep their loss. A
sample of the rows goes first: where it says that a feature is surely worth next to nothing, the others are spared.

Shapes: R rows, B places of a batch, O objectives.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

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

Taking = Literal["all", "sample", "others"]
"""Which rows of a domain take other rows' values."""


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
    """A permutation of a feature in a domain, of the rows ``taking_R`` (all of the domain, or some).

    ``changed`` are those, from the domain's first, that it changes.
    """

    feature: Feature
    tasks: DomainTasks
    donors: NDArray[np.int64]
    taking_R: NDArray[np.bool_]
    changed: NDArray[np.int64]


@dataclass
class _Measured:
    """What is known so far of a feature in a domain."""

    estimate: Estimate
    repeats: int = 0


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
        going = [(feature, tasks) for feature in features for tasks in self._tasks_of(feature)]
        measured = {
            (feature.name, tasks.domain): _Measured(Estimate(tasks.labelled_RO, tasks.users_R))
            for feature, tasks in going
        }
        for repeat, taking in self._passes():
            for draw, increase_RO in self._increases([self._draw(*pair, repeat, taking) for pair in going]):
                found = measured[draw.feature.name, draw.tasks.domain]
                found.estimate.add(increase_RO, draw.donors, draw.taking_R)
                found.repeats = repeat + 1
            going = [
                (feature, tasks)
                for feature, tasks in going
                if not self._negligible(measured[feature.name, tasks.domain].estimate, tasks)
            ]
        return [
            importance
            for feature in features
            for tasks in self._tasks
            for importance in self._importances(feature, tasks, measured.get((feature.name, tasks.domain)))
        ]

    def _passes(self) -> Iterator[tuple[int, Taking]]:
        """Permutations, and which rows of each; a sample of the first one tells what is surely negligible."""
        first: tuple[Taking, ...] = ("sample", "others") if self._config.negligible else ("all",)
        yield from ((0, taking) for taking in first)
        yield from ((repeat, "all") for repeat in range(1, self._config.repeats))

    def _tasks_of(self, feature: Feature) -> Iterator[DomainTasks]:
        return (tasks for tasks in self._tasks if tasks.domain in feature.domains)

    def _draw(self, feature: Feature, tasks: DomainTasks, repeat: int, taking: Taking) -> _Draw:
        rows = tasks.span.stop - tasks.span.start
        donors = permutation(rows, seed=self._config.seed, feature=feature.name, repeat=repeat, domain=tasks.domain)
        codes = [self._codes[member][tasks.span] for member in feature.members]
        changed = np.logical_or.reduce([code != code[donors] for code in codes])
        taking_R = {"sample": tasks.sample_R, "others": ~tasks.sample_R, "all": np.ones(rows, bool)}[taking]
        changed = np.flatnonzero(changed & taking_R & tasks.labelled_RO.any(1))
        return _Draw(feature, tasks, donors, taking_R, changed)

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

    def _negligible(self, estimate: Estimate, tasks: DomainTasks) -> bool:
        """Whether it is surely so for every task of the domain."""
        limit_O = self._config.negligible * tasks.entropies_O
        return bool((estimate.means() + _SURE * estimate.standard_errors() < limit_O).all())

    def _importances(self, feature: Feature, tasks: DomainTasks, measured: _Measured | None) -> list[Importance]:
        """Of one feature to the tasks of a domain; 0 without error where the domain lacks the feature."""
        none = np.zeros(len(tasks.objectives))
        means_O, errors_O, rows_O, repeats = none, none, tasks.labelled_RO.sum(0), self._config.repeats
        if measured is not None:
            estimate, repeats = measured.estimate, measured.repeats
            means_O, errors_O, rows_O = estimate.means(), estimate.standard_errors(), estimate.rows()
        return [
            Importance(
                feature=feature.name,
                kind=feature.kind,
                domain=tasks.domain,
                objective=objective,
                mean=float(means_O[i] / tasks.entropies_O[i]),
                standard_error=float(errors_O[i] / tasks.entropies_O[i]),
                rows=int(rows_O[i]),
                repeats=repeats,
            )
            for i, objective in enumerate(tasks.objectives)
        ]
