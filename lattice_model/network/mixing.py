"""The mixing network: all non-sequence tokens in one normalised representation (paper 3.3.1).

Shapes: B impressions, C categorical, T dense tokens, M = C + T + 1 mixed ones, D domains, d width of a token.
"""

import torch
from torch import Tensor, nn

from lattice_model.network.normalisation import RMSNorm


class MixingNetwork(nn.Module):
    """O_cd: O_c, O_d and a token of the row's domain, which is known when serving.

    They are normalised together rather than each by itself: a token near zero (an absent feature, an id seldom seen
    in training) keeps its small share instead of being blown up to the size of the others.
    """

    def __init__(self, *, tokens: int, domains: int, dim: int) -> None:
        super().__init__()
        self.tokens = tokens + 1
        self.dim = dim
        self.domain_Dd = nn.Parameter(torch.randn(domains, dim) * 0.1)
        self.norm = RMSNorm(self.tokens * dim)

    def forward(self, o_c_BCd: Tensor, o_d_BTd: Tensor, domain_B: Tensor) -> Tensor:
        """Return (B, M, d)."""
        mixed_BMd = torch.cat([o_c_BCd, o_d_BTd, self.domain_Dd[domain_B][:, None]], dim=1)
        return self.norm(mixed_BMd.flatten(1)).unflatten(-1, (self.tokens, self.dim))
