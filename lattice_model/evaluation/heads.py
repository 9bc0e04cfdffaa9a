"""What a model is worth at each head, on rows labelled as of their own window: those of a training table.

Shapes: B impressions of a batch, H heads.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torchrec.metrics.calibration import compute_calibration
from torchrec.metrics.ne import compute_ne, get_ne_states

from lattice_model.loading.rows import Loaded
from lattice_model.network.model import Model
from lattice_model.supervision.masked_bce import head_targets

_ETA = 1e-12
"""TorchRec holds predictions this far off 0 and 1."""


@dataclass(frozen=True)
class HeadSums:
    """Sums over the labels of some heads, each counted by its row's weight; they can be added up."""

    cross_entropy: float
    """In bits, as TorchRec has it."""
    base: float
    """The same of predicting each head's base rate."""
    predicted: float
    positives: float
    labels: float

    @property
    def normalized_entropy(self) -> float | None:
        return self.cross_entropy / self.base if self.base else None

    @property
    def calibration(self) -> float | None:
        """Sum of the predictions over the positives."""
        numbers = torch.tensor([self.predicted, self.positives], dtype=torch.float64)
        return float(compute_calibration(*numbers)) if self.positives else None


def add_up(parts: Iterable[HeadSums]) -> HeadSums:
    """The sums over the labels of all parts; each keeps its own base rate."""
    rows = [(part.cross_entropy, part.base, part.predicted, part.positives, part.labels) for part in parts]
    return HeadSums(*(sum(values) for values in zip(*rows, strict=True)))


def head_sums(network: Model, batches: Iterable[Loaded], device: torch.device | str = "cpu") -> tuple[HeadSums, ...]:
    """Run the network over the batches, without dropout; one result a head, in their order."""
    heads = network.config.inputs.heads
    totals: dict[str, Tensor] = {}
    training = network.training
    network.to(device).eval()
    with torch.inference_mode():
        for batch, *_ in batches:
            predictions_BH = torch.sigmoid(network(batch.to(device)).double()).cpu()
            targets_BH = head_targets(batch.labels_BO, batch.window_B, heads).double()
            weights_BH = (~targets_BH.isnan()).double() * batch.weight_B.double()[:, None]
            states = get_ne_states(targets_BH.nan_to_num(0.0).T, predictions_BH.T, weights_BH.T, _ETA)
            states["predicted"] = (predictions_BH * weights_BH).sum(0)
            totals = {name: totals.get(name, 0.0) + value for name, value in states.items()}
    network.train(training)
    return tuple(_sums(totals, head) for head in range(len(heads)))


def _sums(totals: dict[str, Tensor], head: int) -> HeadSums:
    numbers = {name: value[head].clone() for name, value in totals.items()}
    cross_entropy, labels = numbers["cross_entropy_sum"], numbers["weighted_num_samples"]
    positives, negatives = numbers["pos_labels"], numbers["neg_labels"]
    entropy = float(cross_entropy / compute_ne(cross_entropy, labels, positives, negatives, _ETA))
    both = positives > 0 and negatives > 0
    return HeadSums(
        cross_entropy=float(cross_entropy),
        base=entropy if both else 0.0,
        predicted=float(numbers["predicted"]),
        positives=float(positives),
        labels=float(labels),
    )


def by_objective(objectives: Sequence[str], sums: Sequence[HeadSums]) -> dict[str, HeadSums]:
    """The sums of each objective; ``objectives`` are those of the heads."""
    return {
        name: add_up(part for objective, part in zip(objectives, sums, strict=True) if objective == name)
        for name in dict.fromkeys(objectives)
    }
