"""The deep cross member of a Fusion Block (DCN V2, Wang et al. 2021; as in DHEN, Zhang et al. 2022; paper 3.3.4).

Shapes: B impressions, X tokens in, d width of a token, r rank, n_C tokens out.
"""

from torch import Tensor, nn

from lattice_model.network.normalisation import RMSNorm


class DeepCrossMember(nn.Module):
    """``x <- x + x_0 * (U V x)`` a few times on all numbers of all tokens, then a linear map to n_C tokens.

    Products of products grow without bound: what goes in is normalised, and so is what comes out of the products
    (the paper's stabilised interactions). Departing from DCN V2, there are no biases.
    """

    def __init__(self, *, tokens: int, dim: int, rank: int, layers: int, out_tokens: int) -> None:
        super().__init__()
        self.out_tokens = out_tokens
        self.in_norm = RMSNorm(tokens * dim)
        self.reduce = nn.ModuleList(nn.Linear(tokens * dim, rank, bias=False) for _ in range(layers))
        self.expand = nn.ModuleList(nn.Linear(rank, tokens * dim, bias=False) for _ in range(layers))
        self.out_norm = RMSNorm(tokens * dim)
        self.out = nn.Linear(tokens * dim, out_tokens * dim, bias=False)

    def forward(self, x_BdX: Tensor) -> Tensor:
        """Return (B, n_C, d)."""
        first = crossed = self.in_norm(x_BdX.flatten(1))
        for reduce, expand in zip(self.reduce, self.expand, strict=True):
            crossed = crossed + first * expand(reduce(crossed))
        return self.out(self.out_norm(crossed)).unflatten(-1, (self.out_tokens, -1))
