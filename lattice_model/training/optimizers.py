"""Which optimizer moves which parameter: row-wise Adagrad the embedding tables, AdamW all others (paper 3.5.1)."""

from torch import nn
from torch.optim import AdamW, Optimizer
from torchrec.modules.embedding_modules import EmbeddingBagCollection, EmbeddingCollection
from torchrec.optim.rowwise_adagrad import RowWiseAdagrad

from lattice_model.training.config import TrainingConfig


def table_parameters(network: nn.Module) -> list[nn.Parameter]:
    """The weights of TorchRec's embedding tables."""
    return [
        parameter
        for module in network.modules()
        if isinstance(module, EmbeddingBagCollection | EmbeddingCollection)
        for parameter in module.parameters()
    ]


def dense_parameters(network: nn.Module) -> list[nn.Parameter]:
    """All parameters that are not embedding tables."""
    tables = {id(parameter) for parameter in table_parameters(network)}
    return [parameter for parameter in network.parameters() if id(parameter) not in tables]


def build_optimizers(network: nn.Module, config: TrainingConfig) -> list[Optimizer]:
    """AdamW, with weight decay on matrices and none on scales; then, if there are tables, row-wise Adagrad."""
    dense, tables = dense_parameters(network), table_parameters(network)
    groups = [
        {"params": [part for part in dense if part.ndim >= 2], "weight_decay": config.weight_decay},
        {"params": [part for part in dense if part.ndim < 2], "weight_decay": 0.0},
    ]
    optimizers: list[Optimizer] = [AdamW(groups, lr=config.learning_rate)]
    if tables:
        optimizers.append(RowWiseAdagrad(tables, lr=config.embedding_learning_rate))
    return optimizers
