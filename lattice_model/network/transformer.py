"""The Transformer Block of a backbone layer (paper 3.3.2).

Shapes: B impressions, S sequence tokens, M non-sequence tokens, d width of a token.
"""

from typing import Any

from torch import Tensor, nn

from lattice_model.network.attention import Attention
from lattice_model.network.config import Hyperparameters
from lattice_model.network.feed_forward import Activation, AdaptiveFeedForward, FeedForward
from lattice_model.network.normalisation import RMSNorm


class TransformerBlock(nn.Module):
    """O'_s: self-attention with RoPE, cross-attention to the non-sequence tokens, adaptive feed-forward.

    Each is residual and normalises its input first. The output is normalised too, as the Fusion Block puts it beside
    tokens of another kind that are (M3C 3.3.1). Without ``generated_rank`` the feed-forward network is a plain one.
    """

    def __init__(self, *, context_tokens: int, hyper: Hyperparameters, activation: Activation) -> None:
        super().__init__()
        dim, heads, normalised = hyper.dim, hyper.attention_heads, hyper.query_key_norm
        self.self_norm = RMSNorm(dim)
        self.self_attention = Attention(dim=dim, heads=heads, rotary=hyper.rotary, normalised=normalised)
        self.cross_attention: Attention | None = None
        if hyper.cross_attention:
            self.cross_norm = RMSNorm(dim)
            self.cross_attention = Attention(dim=dim, heads=heads, rotary=False, normalised=normalised)
        if hyper.generated_rank:
            self.context = nn.Linear(context_tokens, 1, bias=False)
        self.feed_forward_norm = RMSNorm(dim)
        self.feed_forward: FeedForward | AdaptiveFeedForward
        sizes: dict[str, Any] = {"dim": dim, "width": hyper.ffn_width, "dropout": hyper.dropout}
        if hyper.generated_rank:
            self.feed_forward = AdaptiveFeedForward(**sizes, rank=hyper.generated_rank, activation=activation)
        else:
            self.feed_forward = FeedForward(**sizes, activation=activation)
        self.out_norm = RMSNorm(dim)

    def forward(self, o_s_BSd: Tensor, o_cd_BMd: Tensor) -> Tensor:
        """Return (B, S, d)."""
        normed_BSd = self.self_norm(o_s_BSd)
        x_BSd = o_s_BSd + self.self_attention(normed_BSd, normed_BSd)
        if self.cross_attention is not None:
            x_BSd = x_BSd + self.cross_attention(self.cross_norm(x_BSd), o_cd_BMd)
        normed_BSd = self.feed_forward_norm(x_BSd)
        if isinstance(self.feed_forward, AdaptiveFeedForward):
            context_Bd = self.context(o_cd_BMd.transpose(1, 2)).squeeze(-1)
            return self.out_norm(x_BSd + self.feed_forward(normed_BSd, context_Bd))
        return self.out_norm(x_BSd + self.feed_forward(normed_BSd))
