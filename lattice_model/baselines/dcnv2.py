"""DCN V2 (Wang et al. 2021, "DCN V2", sections 3.2 to 3.5): TorchRec's low-rank cross network.

Shapes: B impressions, X tokens, d width of a token.
"""

import torch
from torch import Tensor
from torchrec.modules.crossnet import LowRankCrossNet

from lattice_model.baselines.deep import deep
from lattice_model.batch import Batch
from lattice_model.network.config import NetworkConfig, Positive, SharedHyperparameters
from lattice_model.network.model import Model, task_modules
from lattice_model.network.preprocessing import Preprocessor


class DCNv2Hyperparameters(SharedHyperparameters):
    """Those of DCN V2."""

    layers: Positive = 3
    """Cross layers."""
    rank: Positive = 32
    """Of each cross layer's matrix."""
    deep_widths: tuple[Positive, ...] = (192, 128)
    """Layers of the MLP after them."""


class DCNv2(Model):
    """``x_{l+1} = x_0 * (W_l V_l x_l + b_l) + x_l`` on the tokens in one row, then an MLP (stacked)."""

    def __init__(self, config: NetworkConfig[DCNv2Hyperparameters]) -> None:
        super().__init__()
        hyper = config.hyper
        self.config = config
        self.preprocessor = Preprocessor(config.inputs, hyper)
        features = self.preprocessor.tokens * hyper.dim
        self.cross = LowRankCrossNet(in_features=features, num_layers=hyper.layers, low_rank=hyper.rank)
        self.deep = deep(features, hyper.deep_widths, hyper.dropout)
        self.tasks = task_modules(config, hyper.deep_widths[-1])

    def embed(self, batch: Batch) -> Tensor:
        """Return (B, deep_widths[-1])."""
        return self.deep(self.cross(torch.cat(self.preprocessor(batch), dim=1).flatten(1)))
