"""Ends a run where the validation rows say that it gets no better, and keeps its best weights."""

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from lattice_model.evaluation.evaluate import evaluate
from lattice_model.evaluation.metrics import entropy
from lattice_model.evaluation.predictions import joined, predict_share
from lattice_model.evaluation.results import PortfolioMetrics
from lattice_model.loading.rows import Loaded
from lattice_model.training.config import EarlyStopping
from lattice_model.training.distributed.group import ALONE, Group
from lattice_model.training.distributed.sharding import whole
from lattice_model.training.encoding import Tree
from lattice_model.training.log import ValidationPoint
from schemas.manifest import TrainingManifest


class Stopper:
    """Evaluates a network, and remembers the best of it. The processes of a group do so together."""

    def __init__(
        self, config: EarlyStopping, manifest: TrainingManifest, device: torch.device, group: Group = ALONE
    ) -> None:
        self.history: list[ValidationPoint] = []
        self.weights: dict[str, Tensor] = {}
        """Of the best evaluation; in the first process alone."""
        self._config = config
        self._manifest = manifest
        self._device = device
        self._group = group

    def due(self, step: int, steps: int) -> bool:
        """Whether a step (from 1) of a run of ``steps`` is followed by an evaluation."""
        return step % self._config.every == 0 or step == steps

    @property
    def stops(self) -> bool:
        """Whether the last ``patience`` evaluations were no better than the best."""
        best = max((number for number, point in enumerate(self.history) if point.best), default=0)
        return len(self.history) - 1 - best >= self._config.patience

    def evaluate(self, network: nn.Module, batches: Iterable[Loaded], step: int) -> ValidationPoint:
        """Evaluate the network on the validation rows after a step; each process gives those of its share."""
        parts = self._group.gathered(predict_share(network, batches, self._manifest, self._device))
        means = None
        if parts is not None:
            report = evaluate(joined(parts), model="", split=self._config.split)
            means = weighted_means(report.slices[0].portfolios)
        normalized_entropy, auc = self._group.first_s(means) or (None, None)
        point = ValidationPoint(step=step, normalized_entropy=normalized_entropy, auc=auc, best=False)
        if all(self._worth(point) > self._worth(before) for before in self.history):
            point = point.model_copy(update={"best": True})
            weights = whole(network.state_dict(), self._group)
            self.weights = weights if self._group.first else {}
        self.history.append(point)
        return point

    def state(self) -> Tree:
        """What the next evaluation depends on."""
        return {"history": [point.model_dump() for point in self.history], "weights": self.weights}

    def restore(self, state: Tree) -> None:
        """Go on from where ``state`` was asked for."""
        self.history = [ValidationPoint.model_validate(point) for point in state["history"]]
        self.weights = state["weights"]

    def _worth(self, point: ValidationPoint) -> float:
        value = getattr(point, self._config.metric)
        if value is None:
            return -math.inf
        return float(value if self._config.metric == "auc" else -value)


def weighted_means(portfolios: Sequence[PortfolioMetrics]) -> tuple[float | None, float | None]:
    """Normalized entropy of all labels together, each portfolio's against its own base rate, and the mean AUC.

    Both by rows, so that a small portfolio's luck counts little.
    """
    known = [part for part in portfolios if part.rows and part.bce is not None and part.base_rate is not None]
    base = sum(part.rows * entropy(part.base_rate or 0.0) for part in known)
    loss = sum(part.rows * (part.bce or 0.0) for part in known)
    ranked = [(part.rows, part.auc) for part in portfolios if part.auc is not None]
    rows = sum(count for count, _ in ranked)
    return loss / base if base else None, sum(count * auc for count, auc in ranked) / rows if rows else None
