"""MaskNet (Wang, She, Zhang 2021, "MaskNet", sections 3.2 to 3.4): the parallel model.

Shapes: B impressions, X tokens, d width of a token, F = X d features, w width of a block's output.
"""

import torch
from torch import Tensor, nn

from lattice_model.baselines.deep import deep
from lattice_model.batch import Batch
from lattice_model.network.config import NetworkConfig, Positive, SharedHyperparameters
from lattice_model.network.model import Model, task_modules
from lattice_model.network.preprocessing import Preprocessor


class MaskNetHyperparameters(SharedHyperparameters):
    """Those of MaskNet."""

    blocks: Positive = 2
    """MaskBlocks side by side."""
    block_width: Positive = 64
    """w."""
    mask_width: Positive = 64
    """Hidden units of what makes a mask (the paper's aggregation layer)."""
    deep_widths: tuple[Positive, ...] = (128,)
    """Layers of the MLP on the blocks' outputs."""


class MaskBlock(nn.Module):
    """``ReLU(LN(W (mask * hidden)))``, the mask made from the instance's embeddings (section 3.3)."""

    def __init__(self, *, features: int, mask_width: int, width: int, dropout: float) -> None:
        super().__init__()
        self.mask = nn.Sequential(nn.Linear(features, mask_width), nn.ReLU(), nn.Linear(mask_width, features))
        self.hidden = nn.Sequential(
            nn.Linear(features, width, bias=False), nn.LayerNorm(width), nn.ReLU(), nn.Dropout(dropout)
        )

    def forward(self, embedded_BF: Tensor, hidden_BF: Tensor) -> Tensor:
        """Return (B, w)."""
        return self.hidden(self.mask(embedded_BF) * hidden_BF)


class MaskNet(Model):
    """MaskBlocks on the normalised tokens, side by side, through an MLP."""

    def __init__(self, config: NetworkConfig[MaskNetHyperparameters]) -> None:
        super().__init__()
        hyper = config.hyper
        self.config = config
        self.preprocessor = Preprocessor(config.inputs, hyper)
        features = self.preprocessor.tokens * hyper.dim
        self.norm = nn.LayerNorm(hyper.dim)
        self.blocks = nn.ModuleList(
            MaskBlock(features=features, mask_width=hyper.mask_width, width=hyper.block_width, dropout=hyper.dropout)
            for _ in range(hyper.blocks)
        )
        self.deep = deep(hyper.blocks * hyper.block_width, hyper.deep_widths, hyper.dropout)
        self.tasks = task_modules(config, hyper.deep_widths[-1])

    def embed(self, batch: Batch) -> Tensor:
        """Return (B, deep_widths[-1])."""
        x_BXd = torch.cat(self.preprocessor(batch), dim=1)
        embedded_BF, hidden_BF = x_BXd.flatten(1), self.norm(x_BXd).flatten(1)
        return self.deep(torch.cat([block(embedded_BF, hidden_BF) for block in self.blocks], dim=1))
