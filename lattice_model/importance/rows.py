"""The rows that features are permuted among, in memory, in an order that does not depend on how they were read.

Shapes: R rows, C categorical features, F dense features, O objectives.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchrec.sparse.jagged_tensor import KeyedJaggedTensor

from lattice_model.batch import Batch, SequenceBatch
from lattice_model.loading.rows import Loaded
from schemas.manifest import TrainingManifest

KEYS = ("impression_id", "user_id")
"""The columns that a loader must return beside its batches."""


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Rows of a domain lie together, ordered by impression.

    ``batches`` hold them in the order in which they were read: row i is row ``read_R[i]`` of all batches together.
    """

    manifest: TrainingManifest
    batches: tuple[Batch, ...]
    read_R: Tensor
    domain_R: Tensor
    labels_RO: NDArray[np.float64]
    """NaN where there is no label."""
    users_R: NDArray[np.int64]
    """A code a user, from 0."""
    spans: dict[str, slice]
    """Domain -> where its rows lie."""

    @classmethod
    def read(cls, loaded: Iterable[Loaded], manifest: TrainingManifest) -> "Rows":
        """Take all batches of an epoch, which carry ``KEYS``."""
        batches, keys = zip(*((each.batch, each.keys) for each in loaded), strict=True)
        domain_R = torch.cat([batch.domain_B for batch in batches])
        order = np.lexsort((np.concatenate([part["impression_id"] for part in keys]), domain_R.numpy()))
        ends = np.searchsorted(domain_R.numpy()[order], range(len(manifest.domains) + 1))
        users_R = np.unique(np.concatenate([part["user_id"] for part in keys]), return_inverse=True)[1]
        return cls(
            manifest=manifest,
            batches=batches,
            read_R=torch.from_numpy(order),
            domain_R=domain_R[order],
            labels_RO=torch.cat([batch.labels_BO for batch in batches]).double().numpy()[order],
            users_R=users_R[order].astype(np.int64),
            spans={name: slice(int(ends[i]), int(ends[i + 1])) for i, name in enumerate(manifest.domains)},
        )

    def dense(self) -> Tensor:
        """The raw numbers, (F, R): a feature lies together."""
        return torch.cat([batch.dense_BF for batch in self.batches])[self.read_R].T.contiguous()

    def codes(self) -> dict[str, NDArray[np.int64]]:
        """Feature -> a number a row; rows with equal numbers have equal values of the feature."""
        ids_RC = torch.cat([_ids(batch.categorical, batch.size) for batch in self.batches])[self.read_R].numpy()
        codes = {part.name: ids_RC[:, i].copy() for i, part in enumerate(self.manifest.categorical)}
        bits_FR = self.dense().view(torch.int32).numpy()
        codes |= {part.name: bits_FR[i] for i, part in enumerate(self.manifest.dense)}
        for sequence in self.manifest.sequences:
            packed = np.concatenate([_bytes(batch.sequences[sequence.name]) for batch in self.batches])
            codes[sequence.name] = np.unique(packed, return_inverse=True)[1][self.read_R.numpy()]
        return codes


def _ids(ids: KeyedJaggedTensor, rows: int) -> Tensor:
    """(B, C), 0 where there is none."""
    present_CB = ids.lengths().view(-1, rows) > 0
    ids_CB = torch.zeros_like(present_CB, dtype=torch.int64)
    ids_CB[present_CB] = ids.values()
    return ids_CB.T


def _bytes(sequence: SequenceBatch) -> NDArray[np.void]:
    """All of a row's events as one value."""
    parts = [sequence.lengths_B[:, None], sequence.ids_BNI.flatten(1), sequence.dense_BNE.flatten(1)]
    rows = np.concatenate([part.contiguous().numpy().view(np.uint8) for part in parts if part.shape[1]], axis=1)
    return rows.view(np.dtype((np.void, rows.shape[1]))).ravel()
