"""Which features exist in which domains: known from the space, not read off the values."""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor


class DomainFeature(Protocol):
    @property
    def domains(self) -> tuple[str, ...]: ...


def presence(features: Sequence[DomainFeature], domains: Sequence[str]) -> Tensor:
    """Return float32 (domains, features): 1 where the domain has the feature, else 0."""
    rows = [[float(domain in feature.domains) for feature in features] for domain in domains]
    return torch.tensor(rows).reshape(len(domains), len(features))
