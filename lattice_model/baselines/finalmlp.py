"""FinalMLP (Mao et al. 2023, "FinalMLP: An Enhanced Two-Stream MLP Model", sections 3.2 and 3.3).

Shapes: B impressions, X tokens, d width of a token, A heads of the fusion, i and j numbers of a head in either stream,
O outputs of the fusion.
"""

from typing import Self

import torch
from pydantic import model_validator
from torch import Tensor, nn

from lattice_model.baselines.deep import deep
from lattice_model.batch import Batch
from lattice_model.network.config import NetworkConfig, Positive, SharedHyperparameters
from lattice_model.network.model import Model, task_modules
from lattice_model.network.preprocessing import Preprocessor
from schemas.errors import LatticeError


class FinalMLPHyperparameters(SharedHyperparameters):
    """Those of FinalMLP."""

    first_widths: tuple[Positive, ...] = (160, 64)
    """Layers of the stream whose features are selected alike for every row."""
    second_widths: tuple[Positive, ...] = (160, 64)
    """Layers of the stream whose features are selected by the row's domain."""
    fusion_heads: Positive = 4
    """A."""
    fusion_outputs: Positive = 64
    """O."""

    @model_validator(mode="after")
    def _heads_divide(self) -> Self:
        for name, widths in (("first_widths", self.first_widths), ("second_widths", self.second_widths)):
            if widths[-1] % self.fusion_heads:
                raise LatticeError(
                    f"the hyperparameter {name}",
                    f"Its last width, {widths[-1]}, is not a multiple of fusion_heads ({self.fusion_heads}).",
                    "Change either.",
                )
        return self


class BilinearFusion(nn.Module):
    """``b + w_1 o_1 + w_2 o_2 + sum_a o_1a W_a o_2a`` for each output, by heads (section 3.3)."""

    def __init__(self, *, first: int, second: int, heads: int, outputs: int) -> None:
        super().__init__()
        self.heads, self.outputs = heads, outputs
        self.first = nn.Linear(first, outputs)
        self.second = nn.Linear(second, outputs, bias=False)
        i, j = first // heads, second // heads
        self.weight_AiOj = nn.Parameter(torch.randn(heads, i, outputs, j) * (first * second) ** -0.5)

    def forward(self, first_Bf: Tensor, second_Bs: Tensor) -> Tensor:
        """Return (B, O)."""
        first_ABi = first_Bf.unflatten(1, (self.heads, -1)).transpose(0, 1)
        second_ABj1 = second_Bs.unflatten(1, (self.heads, -1)).transpose(0, 1)[..., None]
        left_ABOj = (first_ABi @ self.weight_AiOj.flatten(2)).unflatten(-1, (self.outputs, -1))
        return self.first(first_Bf) + self.second(second_Bs) + (left_ABOj @ second_ABj1).squeeze(-1).sum(0)


class FinalMLP(Model):
    """Two MLPs, each on its own selection of the features, fused by a bilinear form.

    A selection is ``2 sigmoid(gate)`` times the features: the first gate is one for all rows, the second one is made
    from the domain's token. Departing from the paper, the fusion gives O numbers to the heads instead of a logit.
    """

    def __init__(self, config: NetworkConfig[FinalMLPHyperparameters]) -> None:
        super().__init__()
        hyper = config.hyper
        self.config = config
        self.preprocessor = Preprocessor(config.inputs, hyper)
        features = self.preprocessor.tokens * hyper.dim
        self.first_gate = nn.Parameter(torch.randn(features) * 0.1)
        self.second_gate = nn.Linear(hyper.dim, features)
        self.first = deep(features, hyper.first_widths, hyper.dropout)
        self.second = deep(features, hyper.second_widths, hyper.dropout)
        self.fusion = BilinearFusion(
            first=hyper.first_widths[-1],
            second=hyper.second_widths[-1],
            heads=hyper.fusion_heads,
            outputs=hyper.fusion_outputs,
        )
        self.tasks = task_modules(config, hyper.fusion_outputs)

    def embed(self, batch: Batch) -> Tensor:
        """Return (B, O)."""
        x_BXd = torch.cat(self.preprocessor(batch), dim=1)
        flat, domain_Bd = x_BXd.flatten(1), x_BXd[:, -1]
        first = self.first(flat * 2 * self.first_gate.sigmoid())
        return self.fusion(first, self.second(flat * 2 * self.second_gate(domain_Bd).sigmoid()))
