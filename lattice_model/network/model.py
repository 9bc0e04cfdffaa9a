"""What every model is, for those who train, store and measure it."""

from abc import ABC, abstractmethod
from typing import Any

from torch import Tensor, nn

from lattice_model.batch import Batch
from lattice_model.network.config import NetworkConfig
from lattice_model.network.tasks import TaskModules
from lattice_model.network.untied import Untied, domain_groups


class Model(nn.Module, ABC):
    """An embedding of each impression, and the heads on it; parameters are drawn from torch's global generator."""

    config: NetworkConfig[Any]
    tasks: TaskModules | Untied

    @abstractmethod
    def embed(self, batch: Batch) -> Tensor:
        """Return what the heads share, (B, ...)."""

    def forward(self, batch: Batch) -> Tensor:
        """Return logits (B, heads), float32, in the order of the manifest's ``heads()``."""
        x = self.embed(batch)
        return self.tasks(batch.domain_B, x) if isinstance(self.tasks, Untied) else self.tasks(x)


def task_modules(config: NetworkConfig[Any], features: int) -> TaskModules | Untied:
    """The heads of a model whose embedding has so many numbers; all domains', or a tower of them for each domain."""
    heads = TaskModules(
        heads=len(config.inputs.heads),
        features=features,
        width=config.hyper.task_width,
        dropout=config.hyper.dropout,
        base_rates=config.base_rates,
    )
    if config.hyper.towers == "shared":
        return heads
    return Untied(heads, domain_groups(config.inputs.domains, None))
