"""A batch of impressions as the network takes it.

Shapes: B impressions, F dense features, N places of a sequence, I its id fields, E its number fields, O objectives.
"""

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor
from torchrec.sparse.jagged_tensor import KeyedJaggedTensor


@dataclass(frozen=True, kw_only=True)
class SequenceBatch:
    """One event source, newest event first; places at or past a row's length are zero."""

    ids_BNI: Tensor
    """int64, folded to embedding rows; 0 is absent."""
    dense_BNE: Tensor
    """float32, raw."""
    lengths_B: Tensor
    """int64."""

    def to(self, device: torch.device | str) -> "SequenceBatch":
        return SequenceBatch(**{f.name: getattr(self, f.name).to(device, non_blocking=True) for f in fields(self)})


@dataclass(frozen=True, kw_only=True)
class Batch:
    """What the loader yields: features, where the row belongs, and its labels."""

    categorical: KeyedJaggedTensor
    """One key a categorical feature in the manifest's order; folded rows, length 0 where the id is absent."""
    dense_BF: Tensor
    """float32, raw as in the table; NaN is unknown."""
    sequences: dict[str, SequenceBatch]
    domain_B: Tensor
    """int64, position in the manifest's domains."""
    window_B: Tensor
    """int64, position in the manifest's windows; -1 for none."""
    labels_BO: Tensor
    """float32: 1, 0, or NaN where there is no label."""
    weight_B: Tensor
    """float32: how many rows each stands for in the loss (negative downsampling)."""

    @property
    def size(self) -> int:
        return int(self.domain_B.shape[0])

    def to(self, device: torch.device | str) -> "Batch":
        return replace(
            self,
            categorical=self.categorical.to(torch.device(device), non_blocking=True),
            sequences={name: sequence.to(device) for name, sequence in self.sequences.items()},
            **{
                name: getattr(self, name).to(device, non_blocking=True)
                for name in ("dense_BF", "domain_B", "window_B", "labels_BO", "weight_B")
            },
        )
