"""Task modules: a light MLP for each objective and window (paper 3.3.3).

Shapes: B impressions, H heads, X tokens, d width of a token, h hidden units of a head.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class TaskModules(nn.Module):
    """All heads at once: head i owns slice i of every parameter, so a head without loss gets a gradient of zero.

    A head's output starts near the log-odds of its base rate, if given: the weights before it start small.
    """

    def __init__(
        self, *, heads: int, features: int, width: int, dropout: float, base_rates: Sequence[float] | None
    ) -> None:
        super().__init__()
        self.width = width
        self.dropout = nn.Dropout(dropout)
        self.hidden = nn.Linear(features, heads * width)
        self.out_Hh = nn.Parameter(torch.randn(heads, width) * (0.1 * width**-0.5))
        rates_H = torch.tensor(base_rates if base_rates is not None else [0.5] * heads)
        self.bias_H = nn.Parameter(torch.logit(rates_H, eps=1e-6))

    def forward(self, x_BXd: Tensor) -> Tensor:
        """Return logits (B, H), float32."""
        hidden_BHh = nn.functional.silu(self.hidden(self.dropout(x_BXd.flatten(1)))).unflatten(-1, (-1, self.width))
        return (hidden_BHh.float() * self.out_Hh).sum(-1) + self.bias_H
