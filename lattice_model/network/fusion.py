"""The DHEN/Wukong Fusion Block of a backbone layer (paper 3.3.2; Wukong, Zhang et al. 2024, 3.3 to 3.5).

Shapes: B impressions, X tokens in, M non-sequence tokens in, d width of a token, k rank of the projection,
n_F, n_L and n_C tokens out of the parts.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lattice_model.network.config import Hyperparameters
from lattice_model.network.cross import DeepCrossMember
from lattice_model.network.feed_forward import Activation
from lattice_model.network.normalisation import RMSNorm, SwishRMSNorm


def low_rank_interactions(x_BdX: Tensor, y_Xk: Tensor) -> Tensor:
    """``(x x^T) y``, all pairwise dot products of tokens projected to rank k, without forming x x^T: (B, X, k)."""
    return x_BdX.transpose(1, 2) @ (x_BdX @ y_Xk)


class FactorizationMachineBlock(nn.Module):
    """Low-rank pairwise interactions, normalised, through an MLP to n_F tokens."""

    def __init__(
        self,
        *,
        tokens: int,
        dim: int,
        rank: int,
        widths: Sequence[int],
        out_tokens: int,
        dropout: float,
        activation: Activation = SwishRMSNorm,
    ) -> None:
        super().__init__()
        self.out_tokens = out_tokens
        self.projection_Xk = nn.Parameter(torch.randn(tokens, rank) * tokens**-0.5)
        layers: list[nn.Module] = [RMSNorm(tokens * rank)]
        before = tokens * rank
        for width in widths:
            layers += [nn.Linear(before, width, bias=False), activation(width), nn.Dropout(dropout)]
            before = width
        self.mlp = nn.Sequential(*layers, nn.Linear(before, out_tokens * dim, bias=False))

    def forward(self, x_BdX: Tensor) -> Tensor:
        """Return (B, n_F, d)."""
        return self.mlp(low_rank_interactions(x_BdX, self.projection_Xk).flatten(1)).unflatten(
            -1, (self.out_tokens, -1)
        )


class LinearCompressionBlock(nn.Module):
    """Each output token is a weighted sum of the input tokens."""

    def __init__(self, *, tokens: int, out_tokens: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_tokens, tokens) * tokens**-0.5)

    def forward(self, x_BdX: Tensor) -> Tensor:
        """Return (B, n_L, d)."""
        return nn.functional.linear(x_BdX, self.weight).transpose(1, 2)


class FusionBlock(nn.Module):
    """O'_cd = RMSNorm([FMB(x); LCB(x); DCN(x)] + O_cd), where x is O_cd beside what else the block reads.

    A part with 0 tokens is left out. Where O_cd has not as many tokens (in the first layer) the residual is a weighted
    sum of its tokens.
    """

    def __init__(
        self, *, tokens: int, read_tokens: int, hyper: Hyperparameters, activation: Activation = SwishRMSNorm
    ) -> None:
        super().__init__()
        every, dim = tokens + read_tokens, hyper.dim
        self.tokens = hyper.fmb_tokens + hyper.lcb_tokens + hyper.cross_tokens
        self.fmb: nn.Module | None = None
        self.lcb: nn.Module | None = None
        self.cross: nn.Module | None = None
        if hyper.fmb_tokens:
            self.fmb = FactorizationMachineBlock(
                tokens=every,
                dim=dim,
                rank=hyper.fmb_rank,
                widths=hyper.fmb_widths,
                out_tokens=hyper.fmb_tokens,
                dropout=hyper.dropout,
                activation=activation,
            )
        if hyper.lcb_tokens:
            self.lcb = LinearCompressionBlock(tokens=every, out_tokens=hyper.lcb_tokens)
        if hyper.cross_tokens:
            self.cross = DeepCrossMember(
                tokens=every,
                dim=dim,
                rank=hyper.cross_rank,
                layers=hyper.cross_layers,
                out_tokens=hyper.cross_tokens,
            )
        self.residual: nn.Module | None = None
        if tokens != self.tokens:
            self.residual = LinearCompressionBlock(tokens=tokens, out_tokens=self.tokens)
        self.norm = RMSNorm(dim)

    def forward(self, o_cd_BMd: Tensor, read: Sequence[Tensor]) -> Tensor:
        """Return (B, n_F + n_L + n_C, d); ``read`` holds further tokens: O'_s, and what earlier layers stored."""
        x_BdX = torch.cat([o_cd_BMd, *read], dim=1).transpose(1, 2).contiguous()
        parts = [part(x_BdX) for part in (self.fmb, self.lcb, self.cross) if part is not None]
        return self.norm(torch.cat(parts, dim=1) + self._residual(o_cd_BMd, x_BdX))

    def _residual(self, o_cd_BMd: Tensor, x_BdX: Tensor) -> Tensor:
        if self.residual is None:
            return o_cd_BMd
        return self.residual(x_BdX[:, :, : o_cd_BMd.shape[1]])
