"""What a model costs: operations of a forward pass, by module, and parameters."""

from typing import Any

import torch
from pydantic import BaseModel, ConfigDict
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from torchrec.sparse.jagged_tensor import KeyedJaggedTensor

from lattice_model.batch import Batch, SequenceBatch
from lattice_model.models import build, name_of
from lattice_model.network.config import NetworkConfig
from lattice_model.network.inputs import Inputs
from lattice_model.training.optimizers import table_parameters

ROWS = 512
"""Of the batch that is counted: what a model does once a batch is shared among them."""
_DEPTH = 2
_ITSELF = "(itself)"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ModuleCost(_Part):
    """``module`` is a path in the model, such as ``preprocessor.dense``; what it holds counts too."""

    module: str
    mflops: float
    """A row."""
    dense_mparams: float
    embedding_mparams: float


class ModelCost(_Part):
    """See ``measure``."""

    model: str
    rows: int
    total: ModuleCost
    modules: tuple[ModuleCost, ...]


def measure(config: NetworkConfig[Any], rows: int = ROWS) -> ModelCost:
    """The cost of the model of a configuration, for rows that have every feature and full sequences.

    Operations are those of matrix products, attention's included, in one forward pass; a multiply-add is two. Look-ups
    and whatever works number by number (normalisation, activations, sums) are not counted.
    """
    with torch.random.fork_rng():
        network = build(config).eval()
    # As two matrix products, which the counter knows; with gradients, for without them torch fuses whole layers.
    with sdpa_kernel(SDPBackend.MATH), torch.enable_grad(), FlopCounterMode(display=False) as counter:
        network(full_batch(config.inputs, rows))
    counts = {path: sum(by_operation.values()) for path, by_operation in counter.get_flop_counts().items()}
    tables = {id(parameter) for parameter in table_parameters(network)}

    def flops(module: nn.Module, path: str) -> int:
        if path in counts:
            return counts[path]
        return sum(flops(child, f"{path}.{name}") for name, child in module.named_children())

    def cost(name: str, module: nn.Module, flops: int) -> ModuleCost:
        sizes = {True: 0, False: 0}
        for parameter in module.parameters():
            sizes[id(parameter) in tables] += parameter.numel()
        return ModuleCost(
            module=name,
            mflops=flops / rows / 1e6,
            dense_mparams=sizes[False] / 1e6,
            embedding_mparams=sizes[True] / 1e6,
        )

    root = type(network).__name__
    parts = [
        cost(name, module, flops(module, f"{root}.{name}"))
        for name, module in network.named_modules()
        if name and name.count(".") < _DEPTH
    ]
    total = cost(name_of(config.hyper), network, counts[root])
    itself = total.mflops - sum(part.mflops for part in parts if "." not in part.module)
    parts.append(ModuleCost(module=_ITSELF, mflops=round(itself, 9), dense_mparams=0.0, embedding_mparams=0.0))
    return ModelCost(
        model=total.module,
        rows=rows,
        total=total,
        modules=tuple(part for part in parts if part.mflops or part.dense_mparams or part.embedding_mparams),
    )


def full_batch(inputs: Inputs, rows: int) -> Batch:
    """A batch of equal rows: every id known, every number 0, every sequence full."""
    ids = torch.ones(rows * len(inputs.categorical), dtype=torch.int64)
    return Batch(
        categorical=KeyedJaggedTensor(keys=[part.name for part in inputs.categorical], values=ids, lengths=ids),
        dense_BF=torch.zeros(rows, len(inputs.dense)),
        sequences={
            part.name: SequenceBatch(
                ids_BNI=torch.ones(rows, part.length, len(part.ids), dtype=torch.int64),
                dense_BNE=torch.zeros(rows, part.length, len(part.dense)),
                lengths_B=torch.full((rows,), part.length),
            )
            for part in inputs.sequences
        },
        domain_B=torch.zeros(rows, dtype=torch.int64),
        window_B=torch.full((rows,), -1),
        labels_BO=torch.zeros(rows, len({head.objective for head in inputs.heads})),
        weight_B=torch.ones(rows),
    )
