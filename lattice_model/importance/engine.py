"""Permutes features and measures what each is worth to every task.

What is spent: one pass over the rows as they are, which gives the tokens of all features; then for a feature and
permutation one pass behind the feature processors, over the rows whose value of the feature changed. Rows of several
features make up a batch. A row that keeps its value, and one of a domain that lacks the feature, keep their loss.

Unless it is asked to be exact, the engine runs the network on a sample of these rows and foretells the increases of all
of them (see ``slopes``). The foretold ones, corrected by how far the sample's measured ones differ from them, have the
same mean, but for a wide bound on what is foretold. How far they differ also says what the sample adds to the error:
where it is much, all rows are measured.

Shapes: R rows of a domain, B places of a batch, O objectives: all, or a domain's.
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
from lattice_model.importance.slopes import Slopes
from lattice_model.importance.stand_ins import Pick, Swap, WithChanges, stand_in
from lattice_model.importance.tasks import DomainTasks, domain_tasks
from lattice_model.network.model import Model
from schemas.importance import FeatureKind

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_PLACES = 4096
"""Of a batch: more of them do not fit in a processor's cache."""
_LARGEST = math.log((1 - SMALLEST) / SMALLEST)
"""Logits are held within it, as metrics hold predictions off 0 and 1."""
_SURE = 3.0
"""Standard errors by which a feature is surely negligible."""
_ADDED = 0.2
"""The largest share of the error's square that may come from measuring a sample of the rows."""
_FEW = 64
"""A sample with fewer rows that change than this says nothing of the others."""
_BEYOND = 4.0
"""Nothing is foretold to be so many times what the sample shows at most."""


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


@dataclass(eq=False)
class _Measured:
    """A feature in a domain, and what is known of it so far; ``whole``: all rows are measured, not a sample."""

    feature: Feature
    tasks: DomainTasks
    estimate: Estimate
    whole: bool


@dataclass(frozen=True, eq=False)
class _Draw:
    """A permutation of a feature in a domain; ``changed`` are the rows, from the domain's first, that it changes."""

    of: _Measured
    donors: Ints
    changed: Ints

    def sample(self) -> Ints:
        """Those of the changed rows that are measured first."""
        return self.changed[self.of.tasks.weight_R[self.changed] > 0]

    def swap(self, rows: Ints, places: slice) -> Swap:
        """The feature's, for some rows."""
        donors = self.of.tasks.span.start + self.donors[rows]
        return Swap(self.of.feature.members, places, torch.from_numpy(donors))

    def placed(self, increase_BO: Floats, rows: Ints) -> Floats:
        """The increases of some rows, of all objectives, as the domain's (R, O): 0 elsewhere and without a label."""
        increase_RO = np.zeros_like(self.of.tasks.labelled_RO)
        increase_RO[rows] = increase_BO[:, self.of.tasks.columns]
        return increase_RO * self.of.tasks.labelled_RO


class Engine:
    """A model and the rows to permute its features among. The network is left as it is."""

    def __init__(self, network: Model, rows: Rows, config: ImportanceConfig) -> None:
        self._config = config
        self.whole: set[tuple[str, str]] = set()
        """Features and domains of which all rows that change were measured."""
        self._tasks = domain_tasks(rows)
        self._codes = rows.codes()
        self._pick = Pick(torch.empty(0, dtype=torch.int64))
        self._network = stand_in(network.eval(), self._pick, rows)
        self._oracle = list(rows.manifest.oracle_heads())
        self._labels_RO = torch.from_numpy(rows.labels_RO).nan_to_num(0.0)
        self._domain_R = rows.domain_R
        self._blank = rows.batches[0]
        every = torch.arange(len(rows.domain_R))
        with torch.inference_mode():
            self._logits_RO = torch.cat([self._logits(part, ()) for part in every.split(_PLACES)]).double()
        self._base_RO = self._losses(self._logits_RO, every)
        kept = [module for module in self._network.modules() if isinstance(module, WithChanges)]
        self._slopes = {
            tasks.domain: Slopes(lambda rows_B: self._logits(rows_B, ()), kept, tasks.span, tasks.columns)
            for tasks in (() if config.exact else self._tasks)
        }

    def measure(self, features: Sequence[Feature]) -> list[Importance]:
        """Of every feature and task."""
        found = [
            _Measured(feature, tasks, Estimate(tasks.labelled_RO, tasks.users_R), whole=self._config.exact)
            for feature in features
            for tasks in self._tasks
            if tasks.domain in feature.domains
        ]
        going = found
        for repeat in range(self._config.repeats):
            draws = [self._draw(measured, repeat) for measured in going]
            for draw in draws:
                draw.of.whole |= len(draw.sample()) < _FEW
            self._add_sampled([draw for draw in draws if not draw.of.whole], first=repeat == 0)
            whole = [draw for draw in draws if draw.of.whole]
            for draw, increase_RO in self._increases(whole, [draw.changed for draw in whole]):
                draw.of.estimate.add(increase_RO, draw.donors)
            self.whole |= {(measured.feature.name, measured.tasks.domain) for measured in going if measured.whole}
            going = [measured for measured in going if not self._negligible(measured)]
        by_pair = {(measured.feature.name, measured.tasks.domain): measured.estimate for measured in found}
        return [
            importance
            for feature in features
            for tasks in self._tasks
            for importance in self._importances(feature, tasks, by_pair.get((feature.name, tasks.domain)))
        ]

    def _draw(self, measured: _Measured, repeat: int) -> _Draw:
        feature, tasks = measured.feature, measured.tasks
        rows = tasks.span.stop - tasks.span.start
        donors = permutation(rows, seed=self._config.seed, feature=feature.name, repeat=repeat, domain=tasks.domain)
        codes = [self._codes[member][tasks.span] for member in feature.members]
        changed = np.logical_or.reduce([code != code[donors] for code in codes])
        return _Draw(measured, donors, np.flatnonzero(changed & tasks.labelled_RO.any(1)))

    def _add_sampled(self, draws: Sequence[_Draw], first: bool) -> None:
        """Add permutations of which a sample is measured; those that the first one shows to need all rows become so."""
        for draw, measured_RO in self._increases(draws, [draw.sample() for draw in draws]):
            tasks = draw.of.tasks
            # Slopes are steep where a norm holds a token that is nearly zero: what they say there is bounded.
            least_O, most_O = _BEYOND * measured_RO.min(0), _BEYOND * measured_RO.max(0)
            foretold_RO = self._foretold(draw).clip(least_O, most_O)
            beyond_RO = (measured_RO - foretold_RO) * tasks.weight_R[:, None]
            increase_RO = foretold_RO + beyond_RO
            if first and not _adds_little(beyond_RO, increase_RO, draw):
                draw.of.whole = True
            else:
                draw.of.estimate.add(increase_RO, draw.donors)

    def _foretold(self, draw: _Draw) -> Floats:
        """The increases of the losses, (R, O) of the domain, by the slopes: as a straight line goes on in the logit."""
        tasks = draw.of.tasks
        rows_B = torch.from_numpy(tasks.span.start + draw.changed)
        with torch.inference_mode():
            logits_BO = self._logits_RO[rows_B]
            change_BN = self._slopes[tasks.domain].logit_changes(rows_B, draw.swap(draw.changed, slice(None)))
            logits_BO[:, tasks.columns] += change_BN.double()
        return draw.placed(self._losses(logits_BO, rows_B) - self._base_RO[rows_B.numpy()], draw.changed)

    def _increases(self, draws: Sequence[_Draw], rows: Sequence[Ints]) -> Iterator[tuple[_Draw, Floats]]:
        """Each draw with the increase of the losses of some of its rows, (R, O) of the domain, by the network."""
        if not draws:
            return
        starts = [draw.of.tasks.span.start for draw in draws]
        rows_B = torch.from_numpy(np.concatenate([start + own for start, own in zip(starts, rows, strict=True)]))
        ends = np.cumsum([len(own) for own in rows])
        losses = [np.zeros((0, self._base_RO.shape[1]))]
        for start in range(0, len(rows_B), _PLACES):
            stop = min(start + _PLACES, len(rows_B))
            swaps = []
            for draw, own, end in zip(draws, rows, ends.tolist(), strict=True):
                before = end - len(own)
                first, last = max(before, start), min(end, stop)
                if first < last:
                    swaps.append(draw.swap(own[first - before : last - before], slice(first - start, last - start)))
            with torch.inference_mode():
                logits_BO = self._logits(rows_B[start:stop], tuple(swaps))
            losses.append(self._losses(logits_BO, rows_B[start:stop]))
        changes_BO = np.concatenate(losses) - self._base_RO[rows_B.numpy()]
        for draw, own, change_BO in zip(draws, rows, np.split(changes_BO, ends[:-1]), strict=True):
            yield draw, draw.placed(change_BO, own)

    def _logits(self, rows_B: Tensor, swaps: tuple[Swap, ...]) -> Tensor:
        """At the oracle heads, (B, O)."""
        self._pick.rows_B, self._pick.swaps = rows_B, swaps
        logits_BH: Tensor = self._network(replace(self._blank, domain_B=self._domain_R[rows_B]))
        return logits_BH[:, self._oracle]

    def _losses(self, logits_BO: Tensor, rows_B: Tensor) -> Floats:
        """Cross entropies, (B, O); a number without meaning where there is no label."""
        bounded_BO = logits_BO.double().clamp(-_LARGEST, _LARGEST)
        return F.binary_cross_entropy_with_logits(bounded_BO, self._labels_RO[rows_B], reduction="none").numpy()

    def _negligible(self, measured: _Measured) -> bool:
        """Whether it is surely so for every task of the domain."""
        estimate, limit_O = measured.estimate, self._config.negligible * measured.tasks.entropies_O
        return bool((estimate.means() + _SURE * estimate.standard_errors() < limit_O).all())

    def _importances(self, feature: Feature, tasks: DomainTasks, estimate: Estimate | None) -> list[Importance]:
        """Of one feature to the tasks of a domain; 0 without error where the domain lacks the feature."""
        none = np.zeros(len(tasks.objectives))
        means_O, errors_O = (none, none) if estimate is None else (estimate.means(), estimate.standard_errors())
        return [
            Importance(
                feature=feature.name,
                kind=feature.kind,
                domain=tasks.domain,
                objective=objective,
                mean=float(means_O[i] / tasks.entropies_O[i]),
                standard_error=float(errors_O[i] / tasks.entropies_O[i]),
                rows=int(tasks.labelled_RO[:, i].sum()),
                repeats=self._config.repeats if estimate is None else estimate.repeats,
            )
            for i, objective in enumerate(tasks.objectives)
        ]


def _adds_little(beyond_RO: Floats, increase_RO: Floats, draw: _Draw) -> bool:
    """Whether, for every task, little of the increases' error is due to what the sample says beyond the foretold."""
    errors = []
    for part_RO in (beyond_RO, increase_RO):
        estimate = Estimate(draw.of.tasks.labelled_RO, draw.of.tasks.users_R)
        estimate.add(part_RO, draw.donors)
        errors.append(np.square(estimate.standard_errors()))
    return bool((errors[0] <= _ADDED * errors[1]).all())
