"""What every model is, for those who train, store and measure it."""

from abc import ABC, abstractmethod
from typing import Any

from torch import Tensor, nn

from lattice_model.batch import Batch
from lattice_model.network.config import NetworkConfig
from lattice_model.network.tasks import TaskModules


class Model(nn.Module, ABC):
    """An embedding of each impression, and the heads on it; parameters are drawn from torch's global generator."""

    config: NetworkConfig[Any]
    tasks: TaskModules

    @abstractmethod
    def embed(self, batch: Batch) -> Tensor:
        """Return what the heads share, (B, ...)."""

    def forward(self, batch: Batch) -> Tensor:
        """Return logits (B, heads), float32, in the order of the manifest's ``heads()``."""
        return self.tasks(self.embed(batch))


def task_modules(config: NetworkConfig[Any], features: int) -> TaskModules:
    """The heads of a model whose embedding has so many numbers."""
    return TaskModules(
        heads=len(config.inputs.heads),
        features=features,
        width=config.hyper.task_width,
        dropout=config.hyper.dropout,
        base_rates=config.base_rates,
    )
