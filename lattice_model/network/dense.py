"""Dense features through small networks (paper 3.3.1).

Shapes: B impressions, F dense features, T tokens, D domains, w hidden units a feature, d width of a token.
"""

import math
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lattice_model.network.presence import presence
from lattice_model.network.scaling import EVERY, Picked, Scaler
from schemas.manifest import DenseInput, Normaliser


class OwnTokens(nn.Module):
    """Each feature's hidden units to a token of its own."""

    def __init__(self, *, features: int, width: int, dim: int) -> None:
        super().__init__()
        self.tokens = features
        self.weight_Fwd = nn.Parameter(torch.randn(features, width, dim) / math.sqrt(width))

    def forward(self, hidden_FBw: Tensor) -> Tensor:
        """Return (B, F, d)."""
        return torch.bmm(hidden_FBw, self.weight_Fwd).transpose(0, 1)


class SharedTokens(nn.Module):
    """The hidden units of all features together to fewer tokens."""

    def __init__(self, *, features: int, width: int, dim: int, tokens: int) -> None:
        super().__init__()
        self.tokens = tokens
        self.width = width
        self.linear = nn.Linear(features * width, tokens * dim, bias=False)

    def forward(self, hidden_FBw: Tensor) -> Tensor:
        """Return (B, T, d)."""
        return self.linear(hidden_FBw.transpose(0, 1).flatten(1)).unflatten(-1, (self.tokens, -1))

    def share(self, hidden_FBw: Tensor, features: Picked) -> Tensor:
        """What some features add to the tokens, (B, T, d): those of all features are the sum, as the map is linear."""
        weight = self.linear.weight.unflatten(1, (-1, self.width))[:, features].flatten(1)
        return F.linear(hidden_FBw.transpose(0, 1).flatten(1), weight).unflatten(-1, (self.tokens, -1))


class DenseProcessor(nn.Module):
    """O_d: each feature's own small network, then a token for each, or fewer that all of them share.

    Normalisation first, zeroing after it: where the row's domain lacks a feature all inputs of its network are zero,
    and as the network has no bias (the known and unknown inputs act as one), so is what it gives.
    """

    def __init__(
        self,
        *,
        features: Sequence[DenseInput],
        normalisers: Mapping[str, Normaliser],
        domains: Sequence[str],
        dim: int,
        width: int,
        tokens: int | None,
    ) -> None:
        super().__init__()
        count = len(features)
        self.scaler = Scaler([normalisers[feature.name] for feature in features])
        self.present_DF: Tensor
        self.register_buffer("present_DF", presence(features, domains), persistent=False)
        self.hidden_FIw = nn.Parameter(torch.randn(count, Scaler.INPUTS, width) / math.sqrt(Scaler.INPUTS))
        self.out: OwnTokens | SharedTokens
        if tokens is None or tokens >= count:
            self.out = OwnTokens(features=count, width=width, dim=dim)
        else:
            self.out = SharedTokens(features=count, width=width, dim=dim, tokens=tokens)
        self.tokens = self.out.tokens

    def forward(self, raw_BF: Tensor, domain_B: Tensor) -> Tensor:
        """Return (B, T, d)."""
        return self.out(self.hidden(raw_BF, domain_B))

    def hidden(self, raw_BF: Tensor, domain_B: Tensor, features: Picked = EVERY) -> Tensor:
        """Return the hidden units of the features whose columns are given, (F, B, w)."""
        inputs_FBI = self.scaler(raw_BF, features) * self.present_DF.T[features][:, domain_B, None]
        return F.silu(torch.bmm(inputs_FBI, self.hidden_FIw[features]))
