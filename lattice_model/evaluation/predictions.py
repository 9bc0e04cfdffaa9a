"""What a model predicts for the rows of an evaluation table, at the oracle heads.

Shapes: R rows, B impressions of a batch, O objectives.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from torch import nn

from lattice_model.allocation import keep_freed_memory
from lattice_model.loading.columns import Array
from lattice_model.loading.rows import Arrays, Loaded
from schemas.errors import LatticeError
from schemas.manifest import TrainingManifest

KEYS = ("impression_id", "user_id")
"""The columns that a loader must return beside its batches for an evaluation."""


class Portfolio(NamedTuple):
    """The rows (positions) of one domain that have a label of one objective."""

    domain: str
    objective: str
    window: str | None
    rows: NDArray[np.int64]
    objective_index: int


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """Of any model: what a baseline predicts is evaluated by the same code."""

    manifest: TrainingManifest
    keys: Arrays
    """``impression_id``, ``user_id`` and what slices need, each of R values."""
    domain_R: NDArray[np.int64]
    labels_RO: NDArray[np.float64]
    """NaN where there is no label."""
    probabilities_RO: NDArray[np.float64]

    def portfolios(
        self, rows: NDArray[np.bool_] | None = None, domains: tuple[str, ...] | None = None
    ) -> Iterator[Portfolio]:
        """Each domain (of ``domains``, if given) of each objective, over the ``rows`` that count (default: all)."""
        for index, objective in enumerate(self.manifest.objectives):
            labelled = ~np.isnan(self.labels_RO[:, index]) & (True if rows is None else rows)
            window = objective.windows[-1] if objective.windows else None
            for domain in objective.domains:
                if domains is not None and domain not in domains:
                    continue
                inside = self.domain_R == self.manifest.domains.index(domain)
                yield Portfolio(domain, objective.name, window, np.flatnonzero(labelled & inside), index)

    def users(self) -> NDArray[np.int64]:
        """A code for the user of each row, from 0."""
        return np.unique(self.keys["user_id"], return_inverse=True)[1].astype(np.int64)

    def write(self, path: Path) -> None:
        """One Parquet row an impression and objective with a label."""
        pq.write_table(pa.concat_tables([self._table(part) for part in self.portfolios()]), path)

    def _table(self, part: Portfolio) -> pa.Table:
        count = len(part.rows)
        return pa.table(
            {name: pa.array(self.keys[name][part.rows]) for name in KEYS}
            | {
                "domain": pa.array([part.domain] * count, pa.string()),
                "objective": pa.array([part.objective] * count, pa.string()),
                "window": pa.array([part.window] * count, pa.string()),
                "prediction": pa.array(self.probabilities_RO[part.rows, part.objective_index], pa.float32()),
                "label": pa.array(self.labels_RO[part.rows, part.objective_index], pa.float32()),
            }
        )


@dataclass(frozen=True, kw_only=True)
class Slice:
    """The rows in which a key column has a value, in some domains (default: all)."""

    column: str
    value: str
    domains: tuple[str, ...] | None = None
    title: str | None = None

    @property
    def name(self) -> str:
        return self.title or f"{self.column}={self.value}"

    def mask(self, keys: Arrays) -> NDArray[np.bool_]:
        """Which rows belong to it; numbers are compared as numbers.

        Raises:
            LatticeError: the column was not loaded, or is one of numbers and the value is none.
        """
        if self.column not in keys:
            raise LatticeError(
                f"the slice '{self.name}'", f"The column '{self.column}' was not loaded.", f"Use one of {sorted(keys)}."
            )
        values: Array = keys[self.column]
        if values.dtype.kind not in "iuf":
            return np.asarray(values.astype(str) == self.value)
        try:
            return np.asarray(values == float(self.value))
        except ValueError:
            raise LatticeError(
                f"the slice '{self.name}'", f"'{self.value}' is not a number, '{self.column}' is.", "Give a number."
            ) from None


def predict(
    network: nn.Module,
    batches: Iterable[Loaded],
    manifest: TrainingManifest,
    device: torch.device | str = "cpu",
) -> Predictions:
    """Run the network over batches that carry ``KEYS``, without dropout; the oracle heads serve."""
    return joined([predict_share(network.to(device), batches, manifest, device)])


def predict_share(
    network: nn.Module, batches: Iterable[Loaded], manifest: TrainingManifest, device: torch.device | str
) -> Predictions:
    """The same of the rows that come to one process; the network is on the device."""
    keep_freed_memory()
    oracle = list(manifest.oracle_heads())
    probabilities, labels, domains, keys = [], [], [], []
    training = network.training
    network.eval()
    with torch.no_grad():
        for loaded in batches:
            batch, rows = loaded.batch, loaded.rows
            logits_BH = network(batch.to(device))[:rows]
            probabilities.append(torch.sigmoid(logits_BH[:, oracle].double()).cpu().numpy())
            labels.append(batch.labels_BO[:rows].double().numpy())
            domains.append(batch.domain_B[:rows].numpy())
            keys.append({name: values[:rows] for name, values in loaded.keys.items()})
    network.train(training)
    return Predictions(
        manifest=manifest,
        keys={name: np.concatenate([extra[name] for extra in keys]) for name in keys[0]},
        domain_R=np.concatenate(domains),
        labels_RO=np.concatenate(labels),
        probabilities_RO=np.concatenate(probabilities),
    )


def joined(parts: Sequence[Predictions]) -> Predictions:
    """The rows of all parts."""
    if len(parts) == 1:
        return parts[0]
    return Predictions(
        manifest=parts[0].manifest,
        keys={name: np.concatenate([part.keys[name] for part in parts]) for name in parts[0].keys},
        domain_R=np.concatenate([part.domain_R for part in parts]),
        labels_RO=np.concatenate([part.labels_RO for part in parts]),
        probabilities_RO=np.concatenate([part.probabilities_RO for part in parts]),
    )
