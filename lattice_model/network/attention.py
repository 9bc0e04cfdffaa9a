"""Multi-head attention with QK-norm and rotary positions, without biases (paper 3.3.2, 3.3.4).

Shapes: B impressions, Q queries, K keys, N either, A attention heads, d width of a token, c = d / A channels.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lattice_model.network.normalisation import RMSNorm


def rotate(x_BNAc: Tensor, positions_N: Tensor, base: float = 10_000.0) -> Tensor:
    """RoPE (Su et al.): turn channel pairs (i, i + c/2) by ``position * base^(-2i/c)``, in float32.

    The dot product of two rotated vectors depends on the difference of their positions alone.
    """
    pairs = x_BNAc.shape[-1] // 2
    frequencies = base ** (-torch.arange(pairs, device=x_BNAc.device, dtype=torch.float32) / pairs)
    angles_N1p = (positions_N[:, None] * frequencies)[:, None]
    cos, sin = angles_N1p.cos(), angles_N1p.sin()
    first, second = x_BNAc.float().chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, first * sin + second * cos], dim=-1)


class Attention(nn.Module):
    """Queries attend to keys; both are normalised before the dot product if ``normalised`` (QK-norm), then rotated.

    ``rotary`` is for self-attention, where queries and keys share their positions.
    """

    def __init__(self, *, dim: int, heads: int, rotary: bool, normalised: bool = True) -> None:
        super().__init__()
        self.heads = heads
        self.rotary = rotary
        self.query = nn.Linear(dim, dim, bias=False)
        self.key_value = nn.Linear(dim, 2 * dim, bias=False)
        self.query_norm = RMSNorm(dim // heads) if normalised else nn.Identity()
        self.key_norm = RMSNorm(dim // heads) if normalised else nn.Identity()
        self.out = nn.Linear(dim, dim, bias=False)

    def forward(self, x_BQd: Tensor, context_BKd: Tensor, visible_BK: Tensor | None = None) -> Tensor:
        """Return (B, Q, d). ``visible_BK`` (bool) says which keys may be attended to: at least one a row."""
        key_BKAc, value_BKAc = self.key_value(context_BKd).unflatten(-1, (2, self.heads, -1)).unbind(2)
        query_BQAc = self.query_norm(self.query(x_BQd).unflatten(-1, (self.heads, -1)))
        key_BKAc = self.key_norm(key_BKAc)
        if self.rotary:
            positions_N = torch.arange(x_BQd.shape[1], device=x_BQd.device)
            query_BQAc, key_BKAc = rotate(query_BQAc, positions_N), rotate(key_BKAc, positions_N)
        mixed_BAQc = F.scaled_dot_product_attention(
            query_BQAc.to(value_BKAc.dtype).transpose(1, 2),
            key_BKAc.to(value_BKAc.dtype).transpose(1, 2),
            value_BKAc.transpose(1, 2),
            attn_mask=None if visible_BK is None else visible_BK[:, None, None, :],
        )
        return self.out(mixed_BAQc.transpose(1, 2).flatten(2))
