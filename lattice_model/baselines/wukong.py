"""Wukong (Zhang et al. 2024, "Wukong: Towards a Scaling Law", sections 3.2 to 3.6).

Shapes: B impressions, X tokens in, d width of a token, k rank of the projection, n_F and n_L tokens out of either part.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lattice_model.baselines.deep import deep
from lattice_model.batch import Batch
from lattice_model.network.config import NetworkConfig, Positive, SharedHyperparameters
from lattice_model.network.fusion import LinearCompressionBlock, low_rank_interactions
from lattice_model.network.model import Model, task_modules
from lattice_model.network.preprocessing import Preprocessor


class WukongHyperparameters(SharedHyperparameters):
    """Those of Wukong."""

    layers: Positive = 2
    rank: Positive = 8
    """k."""
    fmb_tokens: Positive = 8
    """n_F, tokens out of the Factorization Machine Block."""
    fmb_widths: tuple[Positive, ...] = (256,)
    """Hidden layers of its MLP."""
    lcb_tokens: Positive = 8
    """n_L, tokens out of the Linear Compression Block."""
    top_widths: tuple[Positive, ...] = (256,)
    """Layers of the MLP after the last layer."""


class FactorizationMachineBlock(nn.Module):
    """``MLP(LN(flatten((x x^T) y)))`` as n_F tokens (sections 3.4 and 3.6)."""

    def __init__(
        self, *, tokens: int, dim: int, rank: int, widths: Sequence[int], out_tokens: int, dropout: float
    ) -> None:
        super().__init__()
        self.out_tokens = out_tokens
        self.projection_Xk = nn.Parameter(torch.randn(tokens, rank) * tokens**-0.5)
        self.norm = nn.LayerNorm(tokens * rank)
        self.hidden = deep(tokens * rank, widths, dropout)
        self.out = nn.Linear(widths[-1], out_tokens * dim)

    def forward(self, x_BXd: Tensor) -> Tensor:
        """Return (B, n_F, d)."""
        pairs_BXk = low_rank_interactions(x_BXd.transpose(1, 2), self.projection_Xk)
        return self.out(self.hidden(self.norm(pairs_BXk.flatten(1)))).unflatten(-1, (self.out_tokens, -1))


class WukongLayer(nn.Module):
    """``LN([FMB(x); LCB(x)] + x)``, a weighted sum of tokens as residual where their number changes (section 3.3)."""

    def __init__(self, *, tokens: int, hyper: WukongHyperparameters) -> None:
        super().__init__()
        out_tokens = hyper.fmb_tokens + hyper.lcb_tokens
        self.fmb = FactorizationMachineBlock(
            tokens=tokens,
            dim=hyper.dim,
            rank=hyper.rank,
            widths=hyper.fmb_widths,
            out_tokens=hyper.fmb_tokens,
            dropout=hyper.dropout,
        )
        self.lcb = LinearCompressionBlock(tokens=tokens, out_tokens=hyper.lcb_tokens)
        self.residual: LinearCompressionBlock | None = None
        if tokens != out_tokens:
            self.residual = LinearCompressionBlock(tokens=tokens, out_tokens=out_tokens)
        self.norm = nn.LayerNorm(hyper.dim)

    def forward(self, x_BXd: Tensor) -> Tensor:
        """Return (B, n_F + n_L, d)."""
        x_BdX = x_BXd.transpose(1, 2)
        kept = x_BXd if self.residual is None else self.residual(x_BdX)
        return self.norm(torch.cat([self.fmb(x_BXd), self.lcb(x_BdX)], dim=1) + kept)


class Wukong(Model):
    """Layers of low-rank factorization machines, then an MLP."""

    def __init__(self, config: NetworkConfig[WukongHyperparameters]) -> None:
        super().__init__()
        hyper = config.hyper
        self.config = config
        self.preprocessor = Preprocessor(config.inputs, hyper)
        out_tokens = hyper.fmb_tokens + hyper.lcb_tokens
        self.layers = nn.Sequential(
            *(
                WukongLayer(tokens=out_tokens if layer else self.preprocessor.tokens, hyper=hyper)
                for layer in range(hyper.layers)
            )
        )
        self.top = deep(out_tokens * hyper.dim, hyper.top_widths, hyper.dropout)
        self.tasks = task_modules(config, hyper.top_widths[-1])

    def embed(self, batch: Batch) -> Tensor:
        """Return (B, top_widths[-1])."""
        return self.top(self.layers(torch.cat(self.preprocessor(batch), dim=1)).flatten(1))
