"""The Transformer Block of a backbone layer (paper 3.3.2).

Shapes: B impressions, S sequence tokens, M non-sequence tokens, d width of a token.
"""

from torch import Tensor, nn

from lattice_model.network.attention import Attention
from lattice_model.network.feed_forward import AdaptiveFeedForward
from lattice_model.network.normalisation import RMSNorm


class TransformerBlock(nn.Module):
    """O'_s: self-attention with RoPE, cross-attention to the non-sequence tokens, adaptive feed-forward.

    Each is residual and normalises its input first. The output is normalised too, as the Fusion Block puts it beside
    tokens of another kind that are (M3C 3.3.1).
    """

    def __init__(self, *, dim: int, heads: int, context_tokens: int, ffn_width: int, rank: int, dropout: float) -> None:
        super().__init__()
        self.self_norm = RMSNorm(dim)
        self.self_attention = Attention(dim=dim, heads=heads, rotary=True)
        self.cross_norm = RMSNorm(dim)
        self.cross_attention = Attention(dim=dim, heads=heads, rotary=False)
        self.context = nn.Linear(context_tokens, 1, bias=False)
        self.feed_forward_norm = RMSNorm(dim)
        self.feed_forward = AdaptiveFeedForward(dim=dim, width=ffn_width, rank=rank, dropout=dropout)
        self.out_norm = RMSNorm(dim)

    def forward(self, o_s_BSd: Tensor, o_cd_BMd: Tensor) -> Tensor:
        """Return (B, S, d)."""
        normed_BSd = self.self_norm(o_s_BSd)
        x_BSd = o_s_BSd + self.self_attention(normed_BSd, normed_BSd)
        x_BSd = x_BSd + self.cross_attention(self.cross_norm(x_BSd), o_cd_BMd)
        context_Bd = self.context(o_cd_BMd.transpose(1, 2)).squeeze(-1)
        x_BSd = x_BSd + self.feed_forward(self.feed_forward_norm(x_BSd), context_Bd)
        return self.out_norm(x_BSd)
