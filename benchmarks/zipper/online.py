"""Daily incremental training: predict a day's impressions, then learn once from what became known during it."""

import time
from collections.abc import Iterator

import numpy as np
import torch

from benchmarks.results import Result
from benchmarks.zipper.strategies import Strategy
from benchmarks.zipper.stream import Doubles, Longs, Stream, during
from lattice_model.batch import Batch
from lattice_model.loading.rows import to_loaded
from lattice_model.network import LatticeConfig, LatticeNetwork
from lattice_model.network.config import Hyperparameters
from lattice_model.training.config import TrainingConfig
from lattice_model.training.optimizers import build_optimizers, dense_parameters

_PREDICTED_AT_ONCE = 8192


class Judged(Result):
    """A day's predictions: how many there were, and their mean cross-entropy (nats)."""

    day: int
    rows: int
    loss: float


class Outcome(Result):
    """One strategy with one seed over a stream."""

    strategy: str
    source: str
    seed: int
    days: tuple[Judged, ...]
    samples: int
    """How many were learnt from."""
    seconds: float

    @property
    def loss(self) -> float:
        """Mean over all predictions."""
        rows = sum(day.rows for day in self.days)
        return sum(day.loss * day.rows for day in self.days) / rows

    def in_one(self) -> "Outcome":
        """The same, all days taken as one: for those who do not ask what happened by day."""
        rows = sum(day.rows for day in self.days)
        return self.model_copy(update={"days": (Judged(day=self.days[0].day, rows=rows, loss=self.loss),)})


def run(
    stream: Stream,
    strategy: Strategy,
    *,
    judged_from: int,
    seed: int,
    hyper: Hyperparameters,
    training: TrainingConfig,
) -> Outcome:
    """Go through the stream once, from its first day; judge the days from ``judged_from`` on.

    The learning rate rises over the first fiftieth of the days and stays: a model that is never finished.
    """
    started = time.monotonic()
    labels_R = stream.truth
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = LatticeNetwork(LatticeConfig(inputs=stream.inputs(strategy.heads(stream)), hyper=hyper))
        optimizers = build_optimizers(network, training)
        peaks = [[group["lr"] for group in optimizer.param_groups] for optimizer in optimizers]
        judged: list[Judged] = []
        learnt = 0
        for day in range(stream.days):
            shown = during(stream.shown_R, day)
            if day >= judged_from and shown.size:
                loss = _cross_entropy(labels_R[shown], _predicted(network, strategy, stream, shown))
                judged.append(Judged(day=day, rows=shown.size, loss=loss))
            share = min(1.0, (day + 1) / max(1, stream.days // 50))
            for optimizer, rates in zip(optimizers, peaks, strict=True):
                for group, rate in zip(optimizer.param_groups, rates, strict=True):
                    group["lr"] = rate * share
            learnt += _learn(network, optimizers, strategy, stream, day, seed, training)
    return Outcome(
        strategy=strategy.name,
        source=strategy.source,
        seed=seed,
        days=tuple(judged),
        samples=learnt,
        seconds=time.monotonic() - started,
    )


def _learn(
    network: LatticeNetwork,
    optimizers: list[torch.optim.Optimizer],
    strategy: Strategy,
    stream: Stream,
    day: int,
    seed: int,
    training: TrainingConfig,
) -> int:
    samples = strategy.samples(stream, day)
    order = np.random.default_rng((seed, day)).permutation(samples.rows.size)
    network.train()
    for chosen in np.split(order, range(training.batch_size, order.size, training.batch_size)):
        if not chosen.size:
            continue
        logits_BH = network(_batch(stream, samples.rows[chosen]))
        loss = strategy.loss(logits_BH, torch.from_numpy(samples.targets[chosen]))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(dense_parameters(network), training.clip_norm)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
    return int(order.size)


@torch.no_grad()
def _predicted(network: LatticeNetwork, strategy: Strategy, stream: Stream, rows: Longs) -> Doubles:
    network.eval()
    parts = np.split(rows, range(_PREDICTED_AT_ONCE, rows.size, _PREDICTED_AT_ONCE))
    found = [strategy.probability(network(_batch(stream, part)).double()) for part in parts]
    predictions: Doubles = torch.cat(found).numpy()
    return predictions


def _batch(stream: Stream, rows: Longs) -> Batch:
    return to_loaded({name: values[rows] for name, values in stream.arrays.items()}, stream.manifest).batch


def _cross_entropy(labels: Doubles, predictions: Doubles) -> float:
    """Mean, of labels that may be expectations."""
    held = np.clip(predictions, 1e-7, 1 - 1e-7)
    return float(-(labels * np.log(held) + (1 - labels) * np.log1p(-held)).mean())


def all_runs(
    stream: Stream,
    chosen: tuple[Strategy, ...],
    seeds: range,
    *,
    judged_from: int,
    hyper: Hyperparameters,
    training: TrainingConfig,
) -> Iterator[Outcome]:
    """Every strategy with every seed, one after the other."""
    for seed in seeds:
        for strategy in chosen:
            yield run(stream, strategy, judged_from=judged_from, seed=seed, hyper=hyper, training=training)
