"""What is known of every feature of a pool before any is chosen: all of it from rows up to the validation range.

Shapes: F features, N tasks.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import lightgbm
import numpy as np
from numpy.typing import NDArray

from benchmarks import trees
from benchmarks.filter.taylor import taylor_importance
from benchmarks.flat import flat_rows
from benchmarks.models.cell import Cell, Runner
from benchmarks.models.rows import Part, Source
from jobs.importance_pieces import FEATURES
from lattice_model.importance.config import ImportanceConfig
from lattice_model.importance.engine import Engine
from lattice_model.importance.features import features_of
from lattice_model.importance.rows import KEYS, Rows
from lattice_model.importance.tasks import domain_tasks
from lattice_model.loader import Loader, Selection
from pipelines.frontiers import Floats

_ROWS_A_BATCH = 1024
_TREES = 50


@dataclass(frozen=True, kw_only=True, eq=False)
class Measured:
    """Of the candidates, the pool's ids and numbers."""

    features: NDArray[np.str_]
    tasks: NDArray[np.str_]
    """domain/objective, (N)."""
    importance_FN: Floats
    """Permutation importance in normalized entropy, and its standard error."""
    standard_errors_FN: Floats
    loss_N: Floats
    """What a unit of a task's normalized entropy adds to the loss of all rows."""
    positives_N: Floats
    taylor_F: Floats
    gain_F: Floats
    """Of LightGBM, one a portfolio: the shares of its gain, summed."""
    rows: NDArray[np.int64]
    """How many were permuted."""

    def save(self, path: Path) -> None:
        with path.with_suffix(".part").open("wb") as file:
            np.savez_compressed(file, **{part.name: getattr(self, part.name) for part in fields(self)})
        path.with_suffix(".part").rename(path)

    @classmethod
    def load(cls, path: Path) -> "Measured":
        with np.load(path) as arrays:
            return cls(**dict(arrays))


def measure(cell: Cell, runner: Runner, source: Source, rows: int, config: ImportanceConfig) -> Measured:
    """Train the cell's network, with every feature and never on validation rows, and ask what each is worth to it."""
    network = runner.fit(cell).network
    manifest = source.manifest
    loader = Loader(
        source.files("evaluation", Part()), manifest, batch_size=_ROWS_A_BATCH, seed=config.seed, keys=KEYS,
        selection=Selection(split="validation"),
    )  # fmt: skip
    epoch = loader.epoch()
    read = Rows.read([next(epoch) for _ in range(min(loader.steps, -(-rows // _ROWS_A_BATCH)))], manifest)
    candidates = [feature for feature in features_of(manifest) if feature.kind != "sequence"]
    names = [feature.name for feature in candidates]
    # First: what the engine computes without gradients stays in the batches.
    taylor = taylor_importance(network, read.batches, manifest)
    engine = Engine(network, read, config)
    starts = range(0, len(candidates), FEATURES)
    found = [part for start in starts for part in engine.measure(candidates[start : start + FEATURES])]
    tasks = list(dict.fromkeys((part.domain, part.objective) for part in found))
    wide = {
        column: np.array([getattr(part, column) for part in found]).reshape(len(names), len(tasks))
        for column in ("mean", "standard_error")
    }
    totals = {
        (part.domain, objective): (
            float(part.labelled_RO[:, i].sum() * part.entropies_O[i]),
            part.columns[i],
            part.span,
        )
        for part in domain_tasks(read)
        for i, objective in enumerate(part.objectives)
    }
    gain = _gain(source, cell.rows, names)
    return Measured(
        features=np.array(names),
        tasks=np.array(["/".join(task) for task in tasks]),
        importance_FN=wide["mean"],
        standard_errors_FN=wide["standard_error"],
        loss_N=np.array([totals[task][0] for task in tasks]),
        positives_N=np.array([np.nansum(read.labels_RO[totals[task][2], totals[task][1]]) for task in tasks]),
        taylor_F=np.array([taylor[name] for name in names]),
        gain_F=np.array([gain[name] for name in names]),
        rows=np.array(len(read.domain_R)),
    )


def _gain(source: Source, rows: int | None, names: Sequence[str]) -> dict[str, float]:
    """What share of its LightGBM's gain each feature has, summed over the portfolios."""
    manifest = source.manifest
    loader = Loader(
        source.files("training", Part(), rows), manifest, batch_size=8192, shuffle=False, keys=("available_time",)
    )
    flat = flat_rows(loader.epoch(), manifest)
    known_RO = trees.known_when_zipped(flat, manifest)
    early_RO = known_RO < trees.moment(manifest.cuts["validation"])
    shares = dict.fromkeys(flat.names, 0.0)
    for index, objective in enumerate(manifest.objectives):
        for domain in objective.domains:
            there_R = early_RO[:, index] & (flat.domain_R == manifest.domains.index(domain))
            if len(np.unique(flat.labels_RO[there_R, index])) < 2:
                continue
            data = lightgbm.Dataset(
                flat.features_RF[there_R], flat.labels_RO[there_R, index], weight=flat.weight_R[there_R],
                categorical_feature=list(range(len(flat.categorical))),
            )  # fmt: skip
            model = lightgbm.train({**trees.SETTINGS, "num_threads": 1}, data, num_boost_round=_TREES)
            gains_F = model.feature_importance("gain")
            for name, share in zip(flat.names, gains_F / max(gains_F.sum(), 1e-12), strict=True):
                shares[name] += float(share)
    return {name: shares[name] for name in names}
