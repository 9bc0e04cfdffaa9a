"""Feed-forward networks: a plain one, and one that generates part of its weights (paper 3.3.2; APG, Yan et al. 2022;
M3C 3.1.2).

Shapes: B impressions, S sequence tokens, d width of a token, h hidden units, r side of the generated matrix.
"""

from collections.abc import Callable

from torch import Tensor, nn

from lattice_model.network.normalisation import RMSNorm, SwishRMSNorm

Activation = Callable[[int], nn.Module]
"""Makes the activation of so many channels."""


class FeedForward(nn.Module):
    """``down(SwishRMSNorm(up(x)))``."""

    def __init__(self, *, dim: int, width: int, dropout: float, activation: Activation = SwishRMSNorm) -> None:
        super().__init__()
        self.up = nn.Linear(dim, width, bias=False)
        self.activation = activation(width)
        self.dropout = nn.Dropout(dropout)
        self.down = nn.Linear(width, dim, bias=False)

    def forward(self, x_BSd: Tensor) -> Tensor:
        """Return (B, S, d)."""
        return self.down(self.dropout(self.activation(self.up(x_BSd))))


class AdaptiveFeedForward(nn.Module):
    """``down(SwishRMSNorm(up(x) + expand(G(z) reduce(x))))``: shared weights plus low-rank ones made for each token.

    G (r x r) comes from z, the token itself plus the impression's context, so that tokens of different sources, and
    the same history before different items, meet different weights. Departing from APG, the shared part is added to
    the generated one instead of replacing it by an over-parameterised product.
    """

    def __init__(
        self, *, dim: int, width: int, rank: int, dropout: float, activation: Activation = SwishRMSNorm
    ) -> None:
        super().__init__()
        self.rank = rank
        self.up = nn.Linear(dim, width, bias=False)
        self.reduce = nn.Linear(dim, rank, bias=False)
        self.condition_norm = RMSNorm(dim)
        self.generate = nn.Linear(dim, rank * rank, bias=False)
        self.expand = nn.Linear(rank, width, bias=False)
        self.activation = activation(width)
        self.dropout = nn.Dropout(dropout)
        self.down = nn.Linear(width, dim, bias=False)

    def forward(self, x_BSd: Tensor, context_Bd: Tensor) -> Tensor:
        """Return (B, S, d)."""
        condition_BSd = self.condition_norm(x_BSd + context_Bd[:, None])
        generated_BSrr = self.generate(condition_BSd).unflatten(-1, (self.rank, self.rank))
        adapted_BSr = (generated_BSrr @ self.reduce(x_BSd)[..., None]).squeeze(-1)
        hidden_BSh = self.activation(self.up(x_BSd) + self.expand(adapted_BSr))
        return self.down(self.dropout(hidden_BSh))
