"""xDeepFM (Lian et al. 2018, "xDeepFM", section 3.1): the Compressed Interaction Network.

Shapes: B impressions, X tokens, K feature maps of the layer before, H of this one, d width of a token.
"""

import torch
from torch import Tensor, nn

from lattice_model.baselines.deep import deep
from lattice_model.batch import Batch
from lattice_model.network.config import NetworkConfig, Positive, SharedHyperparameters
from lattice_model.network.model import Model, task_modules
from lattice_model.network.preprocessing import Preprocessor


class XDeepFMHyperparameters(SharedHyperparameters):
    """Those of xDeepFM."""

    cin_maps: tuple[Positive, ...] = (16, 16)
    """H of each layer of the Compressed Interaction Network."""
    deep_widths: tuple[Positive, ...] = (256, 128)
    """Layers of the parallel MLP."""


def compressed_interactions(x_BKd: Tensor, x0_BXd: Tensor, weight_KHX: Tensor) -> Tensor:
    """``sum_k sum_x w_khx (x_k * x0_x)``, (B, H, d), without forming the K X products (equation 6)."""
    mixed_BdHX = (x_BKd.transpose(1, 2) @ weight_KHX.flatten(1)).unflatten(-1, weight_KHX.shape[1:])
    return (mixed_BdHX @ x0_BXd.transpose(1, 2)[..., None]).squeeze(-1).transpose(1, 2)


class CompressedInteractionNetwork(nn.Module):
    """The feature maps of every layer, each summed over its d numbers (equations 6 and 7)."""

    def __init__(self, *, tokens: int, maps: tuple[int, ...]) -> None:
        super().__init__()
        self.weights_KHX = nn.ParameterList(
            torch.randn(before, width, tokens) * (before * tokens) ** -0.5
            for before, width in zip([tokens, *maps[:-1]], maps, strict=True)
        )

    def forward(self, x_BXd: Tensor) -> Tensor:
        """Return (B, sum of H)."""
        maps_BKd, pooled = x_BXd, []
        for weight_KHX in self.weights_KHX:
            maps_BKd = compressed_interactions(maps_BKd, x_BXd, weight_KHX)
            pooled.append(maps_BKd.sum(-1))
        return torch.cat(pooled, dim=1)


class XDeepFM(Model):
    """A linear image of the tokens, their compressed interactions, and an MLP on them, side by side."""

    def __init__(self, config: NetworkConfig[XDeepFMHyperparameters]) -> None:
        super().__init__()
        hyper = config.hyper
        self.config = config
        self.preprocessor = Preprocessor(config.inputs, hyper)
        tokens = self.preprocessor.tokens
        self.linear = nn.Linear(tokens * hyper.dim, hyper.dim, bias=False)
        self.cin = CompressedInteractionNetwork(tokens=tokens, maps=hyper.cin_maps)
        self.deep = deep(tokens * hyper.dim, hyper.deep_widths, hyper.dropout)
        self.tasks = task_modules(config, hyper.dim + sum(hyper.cin_maps) + hyper.deep_widths[-1])

    def embed(self, batch: Batch) -> Tensor:
        """Return (B, d + sum(cin_maps) + deep_widths[-1])."""
        x_BXd = torch.cat(self.preprocessor(batch), dim=1)
        flat = x_BXd.flatten(1)
        return torch.cat([self.linear(flat), self.cin(x_BXd), self.deep(flat)], dim=1)
