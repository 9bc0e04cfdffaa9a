"""DLRM (Naumov et al. 2019, "Deep Learning Recommendation Model", section 2.1).

Shapes: B impressions, S sequence tokens, M non-sequence tokens, C categorical and T dense ones among these, d width
of a token.
"""

import torch
from torch import Tensor
from torchrec.models.dlrm import InteractionArch

from lattice_model.baselines.deep import deep
from lattice_model.batch import Batch
from lattice_model.network.config import NetworkConfig, Positive, SharedHyperparameters
from lattice_model.network.model import Model, task_modules
from lattice_model.network.preprocessing import Preprocessor


class DLRMHyperparameters(SharedHyperparameters):
    """Those of DLRM."""

    bottom_widths: tuple[Positive, ...] = (128,)
    """Hidden layers of the bottom MLP, before its output of a token's width."""
    top_widths: tuple[Positive, ...] = (384, 256)
    """Layers of the top MLP."""


class DLRM(Model):
    """The dense features through the bottom MLP to one vector; it and the dot products of it and all other tokens, pair
    by pair, through the top MLP.

    Departing from the paper, that vector also knows the row's domain, and sequence tokens interact as ids do.
    """

    def __init__(self, config: NetworkConfig[DLRMHyperparameters]) -> None:
        super().__init__()
        hyper = config.hyper
        self.config = config
        self.preprocessor = Preprocessor(config.inputs, hyper)
        sparse = self.preprocessor.sequences.tokens + self.preprocessor.categorical.tokens
        dense = self.preprocessor.tokens - sparse
        self.bottom = deep(dense * hyper.dim, (*hyper.bottom_widths, hyper.dim), hyper.dropout)
        self.interaction = InteractionArch(num_sparse_features=sparse)
        self.top = deep(hyper.dim + sparse * (sparse + 1) // 2, hyper.top_widths, hyper.dropout)
        self.tasks = task_modules(config, hyper.top_widths[-1])

    def embed(self, batch: Batch) -> Tensor:
        """Return (B, top_widths[-1])."""
        o_s_BSd, o_cd_BMd = self.preprocessor(batch)
        categorical = self.preprocessor.categorical.tokens
        sparse_BFd = torch.cat([o_s_BSd, o_cd_BMd[:, :categorical]], dim=1)
        return self.top(self.interaction(self.bottom(o_cd_BMd[:, categorical:].flatten(1)), sparse_BFd))
