"""AutoInt+ (Song et al. 2019, "AutoInt", section 4.4; with a parallel MLP, section 5).

Shapes: B impressions, X tokens, A attention heads, d width of a token in, w out, c = w / A channels.
"""

from typing import Self

import torch
import torch.nn.functional as F
from pydantic import model_validator
from torch import Tensor, nn

from lattice_model.baselines.deep import deep
from lattice_model.batch import Batch
from lattice_model.network.config import NetworkConfig, Positive, SharedHyperparameters
from lattice_model.network.model import Model, task_modules
from lattice_model.network.preprocessing import Preprocessor
from schemas.errors import LatticeError

_PLAIN = 32
"""Tokens, up to which plain products are faster on a CPU: PyTorch's fused attention goes by blocks of as many."""


class AutoIntHyperparameters(SharedHyperparameters):
    """Those of AutoInt+."""

    layers: Positive = 3
    """Interacting layers."""
    width: Positive = 16
    """w, of a token after each of them."""
    heads: Positive = 2
    """A, of each of them; ``attention_heads`` are those of the event models."""
    deep_widths: tuple[Positive, ...] = (192, 128)
    """Layers of the parallel MLP."""

    @model_validator(mode="after")
    def _width_divides(self) -> Self:
        if self.width % self.heads:
            raise LatticeError(
                "the hyperparameter width", f"{self.width} is not a multiple of heads ({self.heads}).", "Change either."
            )
        return self


class InteractingLayer(nn.Module):
    """``ReLU(sum_k a_mk W_V e_k + W_R e_m)`` with ``a = softmax((W_Q e_m) . (W_K e_k))``, unscaled (section 4.4)."""

    def __init__(self, *, dim: int, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(dim, width, bias=False)
        self.key = nn.Linear(dim, width, bias=False)
        self.value = nn.Linear(dim, width, bias=False)
        self.residual = nn.Linear(dim, width, bias=False)

    def forward(self, x_BXd: Tensor) -> Tensor:
        """Return (B, X, w)."""
        query_BAXc, key_BAXc, value_BAXc = (
            part(x_BXd).unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in (self.query, self.key, self.value)
        )
        if x_BXd.device.type == "cpu" and x_BXd.shape[1] <= _PLAIN:
            mixed_BAXc = torch.softmax(query_BAXc @ key_BAXc.transpose(-1, -2), dim=-1) @ value_BAXc
        else:
            mixed_BAXc = F.scaled_dot_product_attention(query_BAXc, key_BAXc, value_BAXc, scale=1.0)
        return F.relu(mixed_BAXc.transpose(1, 2).flatten(2) + self.residual(x_BXd))


class AutoInt(Model):
    """Self-attention among the tokens, beside an MLP on them."""

    def __init__(self, config: NetworkConfig[AutoIntHyperparameters]) -> None:
        super().__init__()
        hyper = config.hyper
        self.config = config
        self.preprocessor = Preprocessor(config.inputs, hyper)
        tokens = self.preprocessor.tokens
        self.interacting = nn.Sequential(
            *(
                InteractingLayer(dim=hyper.width if layer else hyper.dim, width=hyper.width, heads=hyper.heads)
                for layer in range(hyper.layers)
            )
        )
        self.deep = deep(tokens * hyper.dim, hyper.deep_widths, hyper.dropout)
        self.tasks = task_modules(config, tokens * hyper.width + hyper.deep_widths[-1])

    def embed(self, batch: Batch) -> Tensor:
        """Return (B, X * w + deep_widths[-1])."""
        x_BXd = torch.cat(self.preprocessor(batch), dim=1)
        return torch.cat([self.interacting(x_BXd).flatten(1), self.deep(x_BXd.flatten(1))], dim=1)
