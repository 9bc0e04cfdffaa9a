"""Which optimizer moves which parameter: row-wise Adagrad the embedding tables, AdamW all others (paper 3.5.1), or a
second-order optimizer their matrices (paper 3.3.5).
"""

import torch
from pytorch_optimizer import SOAP, ScalableShampoo
from pytorch_optimizer.optimizer.utils.graft import LayerWiseGrafting
from torch import nn
from torch.distributed.tensor import DTensor
from torch.optim import AdamW, Optimizer
from torchrec.distributed.model_parallel import DistributedModelParallel
from torchrec.modules.embedding_modules import EmbeddingBagCollection, EmbeddingCollection

from lattice_model.training.config import TrainingConfig
from lattice_model.training.sparse_tables import SparseRowWiseAdagrad

_LARGEST_SIDE = 2048
"""Of a matrix, for SOAP to decompose it: beyond it the time grows with the cube. Shampoo cuts matrices into blocks."""

ADAGRAD_EPSILON = 1e-10
"""Beside the root of a row's summed squares."""


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
    if isinstance(network, DistributedModelParallel):
        named = _table_names(network)
        return [part for name, part in network.named_parameters() if name not in named]
    tables = {id(parameter) for parameter in table_parameters(network)}
    return [parameter for parameter in network.parameters() if id(parameter) not in tables]


def _table_names(network: DistributedModelParallel) -> set[str]:
    """The parameters of its tables, whichever process they lie in."""
    return {
        f"{path}.{kind}.{table}.weight"
        for path, tables in network.plan.plan.items()
        for table in tables
        for kind in ("embedding_bags", "embeddings")
    }


def build_optimizers(network: nn.Module, config: TrainingConfig) -> list[Optimizer]:
    """First those of dense matrices, with weight decay, and of dense vectors, without; then row-wise Adagrad, if there
    are tables. Of a sharded network these are in the order of the whole one's, and Adagrad is the fused one.
    """
    dense, tables = dense_parameters(network), table_parameters(network)
    matrices, vectors = [part for part in dense if part.ndim >= 2], [part for part in dense if part.ndim < 2]
    optimizers: list[Optimizer]
    if config.optimizer == "adamw":
        groups = [
            {"params": matrices, "weight_decay": config.weight_decay},
            {"params": vectors, "weight_decay": 0.0},
        ]
        optimizers = [AdamW(groups, lr=config.learning_rate)]
        _begin_sharded(optimizers[0])
    else:
        optimizers = [
            _second_order(matrices, config),
            AdamW([{"params": vectors}], lr=config.learning_rate, weight_decay=0.0),
        ]
    if isinstance(network, DistributedModelParallel):
        if network.plan.plan:  # in every process, whichever tables lie in it
            optimizers.append(network.fused_optimizer)
    elif tables:
        optimizers.append(SparseRowWiseAdagrad(tables, lr=config.embedding_learning_rate, eps=ADAGRAD_EPSILON))
    return optimizers


def _begin_sharded(optimizer: Optimizer) -> None:
    """Give sharded parameters the state that AdamW makes in its first step: a saved one is read into it."""
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            if isinstance(parameter, DTensor):
                moments = {name: torch.zeros_like(parameter) for name in ("exp_avg", "exp_avg_sq")}
                optimizer.state[parameter] = {"step": torch.tensor(0.0), **moments}


def _second_order(matrices: list[nn.Parameter], config: TrainingConfig) -> Optimizer:
    """SOAP (Vyas et al. 2024), or Shampoo (Gupta et al. 2018) with Adam's moving averages and step sizes.

    Shampoo alone has steps of a size that AdamW's learning rates do not fit: each takes the norm of an RMSProp step
    instead (grafting, Anil et al. 2020, "Scalable Second Order Optimization for Deep Learning").
    """
    if config.optimizer == "soap":
        return SOAP(
            matrices,
            lr=config.learning_rate,
            weight_decay=config.weight_decay,
            precondition_frequency=config.precondition_every,
            max_precondition_dim=_LARGEST_SIDE,
        )
    return ScalableShampoo(
        matrices,
        lr=config.learning_rate,
        weight_decay=config.weight_decay,
        decoupled_weight_decay=True,
        moving_average_for_momentum=True,
        nesterov=False,
        graft_type=LayerWiseGrafting.RMSPROP,
        start_preconditioning_step=config.precondition_every,
        preconditioning_compute_steps=config.precondition_every,
    )
