"""APG on DeepFM (Yan et al. 2022, "APG: Adaptive Parameter Generation Network", section 3; Guo et al. 2017, "DeepFM").

Shapes: B impressions, X tokens, d width of a token, f features in, w out, k side of a generated matrix, p inner width.
"""

import torch
from torch import Tensor, nn

from lattice_model.batch import Batch
from lattice_model.network.config import NetworkConfig, Positive, SharedHyperparameters
from lattice_model.network.model import Model, task_modules
from lattice_model.network.preprocessing import Preprocessor


class APGHyperparameters(SharedHyperparameters):
    """Those of APG (DeepFM)."""

    deep_widths: tuple[Positive, ...] = (512, 256)
    """Layers of the deep part, with generated weights."""
    rank: Positive = 16
    """k."""
    inner_width: Positive = 128
    """p, of the over-parameterised products that stand for the shared matrices."""


def pairwise_interactions(x_BXd: Tensor) -> Tensor:
    """``((sum_i x_i)^2 - sum_i x_i^2) / 2``, (B, d): its sum is that of all pairs' dot products (DeepFM, equation 2).

    TorchRec's ``FactorizationMachine`` sums over the numbers of a token too, which multiplies numbers of different
    places and is another thing.
    """
    return (x_BXd.sum(1).square() - x_BXd.square().sum(1)) / 2


class AdaptiveLinear(nn.Module):
    """``V S(z) U x + b``: S (k x k) is generated for each row, U and V are shared and products of two."""

    def __init__(self, *, features: int, width: int, condition: int, rank: int, inner: int) -> None:
        super().__init__()
        self.rank = rank
        shapes = {"u_fp": (features, inner), "u_pk": (inner, rank), "v_kp": (rank, inner), "v_pw": (inner, width)}
        self.shared = nn.ParameterDict(
            {name: nn.init.xavier_normal_(torch.empty(shape)) for name, shape in shapes.items()}
        )
        self.generate = nn.Linear(condition, rank * rank)
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x_Bf: Tensor, z_Bd: Tensor) -> Tensor:
        """Return (B, w)."""
        reduced_B1k = (x_Bf @ (self.shared["u_fp"] @ self.shared["u_pk"]))[:, None]
        generated_Bkk = self.generate(z_Bd).unflatten(-1, (self.rank, self.rank))
        return (reduced_B1k @ generated_Bkk).squeeze(1) @ (self.shared["v_kp"] @ self.shared["v_pw"]) + self.bias


class APG(Model):
    """DeepFM whose deep part has weights generated from the row's context z, a weighted sum of its tokens.

    DeepFM's first-order and FM parts give d numbers each to the heads, of which a logit in the paper is a sum.
    """

    def __init__(self, config: NetworkConfig[APGHyperparameters]) -> None:
        super().__init__()
        hyper = config.hyper
        self.config = config
        self.preprocessor = Preprocessor(config.inputs, hyper)
        tokens = self.preprocessor.tokens
        self.linear = nn.Linear(tokens * hyper.dim, hyper.dim, bias=False)
        self.context = nn.Linear(tokens, 1, bias=False)
        self.deep = nn.ModuleList(
            AdaptiveLinear(features=before, width=width, condition=hyper.dim, rank=hyper.rank, inner=hyper.inner_width)
            for before, width in zip([tokens * hyper.dim, *hyper.deep_widths[:-1]], hyper.deep_widths, strict=True)
        )
        self.dropout = nn.Dropout(hyper.dropout)
        self.tasks = task_modules(config, 2 * hyper.dim + hyper.deep_widths[-1])

    def embed(self, batch: Batch) -> Tensor:
        """Return (B, 2 d + deep_widths[-1])."""
        x_BXd = torch.cat(self.preprocessor(batch), dim=1)
        flat = x_BXd.flatten(1)
        context_Bd = self.context(x_BXd.transpose(1, 2)).squeeze(-1)
        hidden = flat
        for layer in self.deep:
            hidden = self.dropout(layer(hidden, context_Bd).relu())
        return torch.cat([self.linear(flat), pairwise_interactions(x_BXd), hidden], dim=1)
