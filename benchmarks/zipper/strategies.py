"""Ways of labelling impressions whose conversions are still to come: what a model may learn from on each day.

Shapes: R impressions, S samples of a day, H heads, B samples of a batch. A target is 1, 0, or NaN where a sample does
not train a head. The last head is the one that predicts, unless a strategy says otherwise.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.zipper.stream import UNIFORM, Doubles, Longs, Stream, during
from lattice_model.supervision.masked_bce import masked_bce

Targets = NDArray[np.float32]


class Samples(NamedTuple):
    """Impressions (S,), one of them perhaps several times, and their targets (S, H)."""

    rows: Longs
    targets: Targets


class Strategy:
    """One way; the defaults are those of a model with plain cross-entropy."""

    name: str
    source: str

    def heads(self, stream: Stream) -> int:
        return 1

    def samples(self, stream: Stream, day: int) -> Samples:
        """What has become known during a day, and nothing that is known later."""
        raise NotImplementedError

    def loss(self, logits_BH: Tensor, targets_BH: Tensor) -> Tensor:
        return masked_bce(logits_BH, targets_BH).total

    def probability(self, logits_BH: Tensor) -> Tensor:
        """Of a conversion within the longest window, (B,)."""
        return logits_BH[:, -1].sigmoid()


@dataclass(frozen=True)
class Single(Strategy):
    """One data set of one window: an impression is learnt from when that closes."""

    position: int
    name: str
    source: str = "one window"

    def samples(self, stream: Stream, day: int) -> Samples:
        window = stream.windows[self.position]
        rows = during(stream.shown_R + window, day)
        return Samples(rows, _column(stream.delay_R[rows] <= window))


@dataclass(frozen=True)
class Zipped(Strategy):
    """Each impression is learnt from once, in the window that it is given, by that window's head."""

    weights: str = UNIFORM
    name: str = "zipped"
    source: str = "Lattice, 3.2.1"

    def heads(self, stream: Stream) -> int:
        return len(stream.windows)

    def samples(self, stream: Stream, day: int) -> Samples:
        given_R = stream.assigned[self.weights]
        windows = np.array(stream.windows)
        rows = during(stream.shown_R + windows[given_R], day)
        targets = _empty(rows.size, self.heads(stream))
        targets[np.arange(rows.size), given_R[rows]] = stream.delay_R[rows] <= windows[given_R[rows]]
        return Samples(rows, targets)


@dataclass(frozen=True)
class AtOnce(Strategy):
    """The bound: the label of the longest window, known at the impression."""

    name: str = "upper bound"
    source: str = "labels known at once"

    def samples(self, stream: Stream, day: int) -> Samples:
        rows = during(stream.shown_R, day)
        return Samples(rows, _column(stream.delay_R[rows] <= stream.windows[-1]))


@dataclass(frozen=True)
class FakeNegatives(Strategy):
    """Every impression is a negative at once, and a positive again when it converts; importance weights undo the bias.

    The model's own prediction p, held fixed, weights positives by 1 + p and negatives by (1 - p)(1 + p).
    """

    name: str = "fake negatives, weighted"
    source: str = "Ktena et al. 2019, FNW"

    def samples(self, stream: Stream, day: int) -> Samples:
        shown, converted = during(stream.shown_R, day), _converting(stream, day)
        return Samples(np.concatenate([shown, converted]), _column(np.repeat([0, 1], [shown.size, converted.size])))

    def loss(self, logits_BH: Tensor, targets_BH: Tensor) -> Tensor:
        p = logits_BH.detach().sigmoid()
        weights = torch.where(targets_BH == 1, 1 + p, (1 - p) * (1 + p))
        return (weights * _bce(logits_BH, targets_BH)).mean()


@dataclass(frozen=True)
class ElapsedTime(Strategy):
    """An impression is labelled when the shortest window has elapsed, and is a positive again if it converts later.

    Two more heads learn, when the longest window closes, how likely a later conversion is (the first), and that what
    has not converted by then never will (the second); they weight positives by 1 + dp, negatives by (1 + dp) rn.
    """

    name: str = "elapsed-time sampling"
    source: str = "Yang et al. 2021, ES-DFM"

    def heads(self, stream: Stream) -> int:
        return 3

    def samples(self, stream: Stream, day: int) -> Samples:
        elapsed, longest = stream.windows[0], stream.windows[-1]
        labelled = during(stream.shown_R + elapsed, day)
        converting = _converting(stream, day)
        late = converting[stream.delay_R[converting] > elapsed]
        closed = during(stream.shown_R + longest, day)
        targets = _empty(labelled.size + late.size + closed.size, 3)
        targets[: labelled.size, 2] = stream.delay_R[labelled] <= elapsed
        targets[labelled.size : labelled.size + late.size, 2] = 1
        delay = stream.delay_R[closed]
        targets[labelled.size + late.size :, 0] = (delay > elapsed) & (delay <= longest)
        targets[labelled.size + late.size :, 1] = np.where(delay > elapsed, delay > longest, np.nan)
        return Samples(np.concatenate([labelled, late, closed]), targets)

    def loss(self, logits_BH: Tensor, targets_BH: Tensor) -> Tensor:
        later, never = logits_BH[:, 0].detach().sigmoid(), logits_BH[:, 1].detach().sigmoid()
        target = targets_BH[:, 2]
        weights = torch.where(target == 1, 1 + later, (1 + later) * never)
        known = ~target.isnan()
        main = (weights * _bce(logits_BH[:, 2], target.nan_to_num(0.0)))[known].sum() / known.sum().clamp(min=1)
        return main + masked_bce(logits_BH[:, :2], targets_BH[:, :2]).total


@dataclass(frozen=True)
class Chained(Strategy):
    """Conversion rates interpolated over elapsed time: each head has the rate between two windows of those left over.

    An impression is learnt from once a window, as that closes. What survives all steps does not convert.
    """

    name: str = "chained rates"
    source: str = "one rate a span of elapsed time; K passes"

    def heads(self, stream: Stream) -> int:
        return len(stream.windows)

    def samples(self, stream: Stream, day: int) -> Samples:
        rows, targets = [], []
        for position, window in enumerate(stream.windows):
            closing = during(stream.shown_R + window, day)
            left = closing[stream.delay_R[closing] > (stream.windows[position - 1] if position else 0.0)]
            found = _empty(left.size, self.heads(stream))
            found[:, position] = stream.delay_R[left] <= window
            rows.append(left)
            targets.append(found)
        return Samples(np.concatenate(rows), np.concatenate(targets))

    def probability(self, logits_BH: Tensor) -> Tensor:
        return 1 - (1 - logits_BH.sigmoid()).prod(dim=1)


def strategies(windows: Sequence[str], weights: Sequence[str] = (UNIFORM,)) -> tuple[Strategy, ...]:
    """All of them; the first, the longest window alone, is what the others are compared with."""
    return (
        Single(len(windows) - 1, f"{windows[-1]} only"),
        *(Single(position, f"{windows[position]} only") for position in range(len(windows) - 1)),
        *(Zipped(name, "zipped" if name == UNIFORM else f"zipped {name}") for name in weights),
        FakeNegatives(),
        ElapsedTime(),
        Chained(),
        AtOnce(),
    )


def _converting(stream: Stream, day: int) -> Longs:
    """The impressions that convert during a day, within the longest window."""
    rows = during(stream.shown_R + stream.delay_R, day)
    return rows[stream.delay_R[rows] <= stream.windows[-1]]


def _column(labels: NDArray[np.bool_] | Longs | Doubles) -> Targets:
    return labels.astype(np.float32)[:, None]


def _empty(samples: int, heads: int) -> Targets:
    return np.full((samples, heads), np.nan, np.float32)


def _bce(logits: Tensor, targets: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
