"""AFN+ (Cheng, Shen, Huang 2020, "Adaptive Factorization Network", section 3).

Shapes: B impressions, X tokens, N logarithmic neurons, d width of a token.
"""

import torch
from torch import Tensor, nn

from lattice_model.baselines.deep import deep
from lattice_model.batch import Batch
from lattice_model.network.config import NetworkConfig, Positive, SharedHyperparameters
from lattice_model.network.model import Model, task_modules
from lattice_model.network.preprocessing import Preprocessor

SMALLEST = 1e-5
"""Magnitudes below it, those of absent features above all, count as it: their logarithm must be finite."""


class AFNHyperparameters(SharedHyperparameters):
    """Those of AFN+."""

    neurons: Positive = 32
    """N, each learns one cross feature, of an order of its own."""
    widths: tuple[Positive, ...] = (128,)
    """Layers on the cross features."""
    deep_widths: tuple[Positive, ...] = (192, 128)
    """Layers of the parallel MLP."""


class LogarithmicLayer(nn.Module):
    """``exp(sum_i w_ji ln|e_i|)``, a product of powers of the tokens, for each neuron j.

    The logarithms and the products are normalised by batch.
    """

    def __init__(self, *, tokens: int, neurons: int) -> None:
        super().__init__()
        self.log_norm = nn.BatchNorm1d(tokens)
        self.weight_NX = nn.Parameter(torch.randn(neurons, tokens) * tokens**-0.5)
        self.norm = nn.BatchNorm1d(neurons)

    def forward(self, x_BXd: Tensor) -> Tensor:
        """Return (B, N, d)."""
        logs_BXd = self.log_norm(x_BXd.abs().clamp(min=SMALLEST).log())
        return self.norm((self.weight_NX @ logs_BXd).exp())


class AFN(Model):
    """Cross features of learned orders through an MLP, beside an MLP on the tokens.

    As in the paper the two have feature processors of their own: the one's embeddings are taken for magnitudes alone.
    """

    def __init__(self, config: NetworkConfig[AFNHyperparameters]) -> None:
        super().__init__()
        hyper = config.hyper
        self.config = config
        self.preprocessor = Preprocessor(config.inputs, hyper)
        self.deep_preprocessor = Preprocessor(config.inputs, hyper)
        tokens = self.preprocessor.tokens
        self.logarithmic = LogarithmicLayer(tokens=tokens, neurons=hyper.neurons)
        self.cross = deep(hyper.neurons * hyper.dim, hyper.widths, hyper.dropout)
        self.deep = deep(tokens * hyper.dim, hyper.deep_widths, hyper.dropout)
        self.tasks = task_modules(config, hyper.widths[-1] + hyper.deep_widths[-1])

    def embed(self, batch: Batch) -> Tensor:
        """Return (B, widths[-1] + deep_widths[-1])."""
        cross_BNd = self.logarithmic(torch.cat(self.preprocessor(batch), dim=1))
        tokens_BXd = torch.cat(self.deep_preprocessor(batch), dim=1)
        return torch.cat([self.cross(cross_BNd.flatten(1)), self.deep(tokens_BXd.flatten(1))], dim=1)
