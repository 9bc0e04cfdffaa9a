"""Where the parts of a model lie in a run of several processes (paper 3.5.1).

Embedding tables by TorchRec: a planner chooses for each table whether one process holds it, or all some of its rows,
and row-wise Adagrad is fused into the backward pass. Large dense blocks by FSDP2: every process holds a part of each
parameter. What is left is small and replicated by DDP.
"""

import logging
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import torch
import torch.distributed as dist
from fbgemm_gpu.split_embedding_configs import EmbOptimType
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torchrec.distributed.embedding import EmbeddingCollectionSharder
from torchrec.distributed.embedding_types import EmbeddingComputeKernel, ShardingType
from torchrec.distributed.embeddingbag import EmbeddingBagCollectionSharder
from torchrec.distributed.model_parallel import DefaultDataParallelWrapper, DistributedModelParallel
from torchrec.distributed.planner import EmbeddingShardingPlanner, Topology
from torchrec.distributed.planner.storage_reservations import FixedPercentageStorageReservation
from torchrec.distributed.planner.types import ParameterConstraints, PlannerError
from torchrec.distributed.types import ShardedTensor, ShardingEnv, ShardingPlan
from torchrec.modules.embedding_modules import EmbeddingBagCollection, EmbeddingCollection

from lattice_model.network.model import Model
from lattice_model.training.config import TrainingConfig
from lattice_model.training.distributed.group import Group
from lattice_model.training.optimizers import ADAGRAD_EPSILON
from schemas.errors import LatticeError

# What the libraries say of each other's ways, on every call; nothing here changes an output in place.
warnings.filterwarnings("ignore", category=FutureWarning, module=r"torchrec\.")
warnings.filterwarnings("ignore", category=FutureWarning, message="Please use DTensor instead")
warnings.filterwarnings("ignore", category=UserWarning, message="FSDP2-wrapped module .* returned a view tensor")
logging.getLogger("torchrec.distributed.planner").setLevel(logging.ERROR)

_RESERVED = 0.15
"""Share of the memory that the planner leaves to all that is no table."""
_WAYS = (ShardingType.TABLE_WISE, ShardingType.ROW_WISE)
"""How a table may be cut: not by columns, as row-wise Adagrad would then have another mean for each part of a row."""


def shard(network: Model, config: TrainingConfig, group: Group) -> DistributedModelParallel:
    """The network, cut up and wrapped in place, with the weights that it has; gradients are means over processes."""
    tables = _tables(network)
    full = {name: tables[name].detach().clone() for name in tables}
    mesh = init_device_mesh(group.device.type, (group.ranks,))
    for block in large_blocks(network, config.shard_from):
        fully_shard(block.to(group.device), mesh=mesh)
    model = DistributedModelParallel(
        network,
        env=ShardingEnv.from_process_group(dist.group.WORLD),
        device=group.device,
        plan=_plan(network, config, group),
        sharders=_sharders(config),
        data_parallel_wrapper=DefaultDataParallelWrapper(
            params_to_ignore=[name for name, part in network.named_parameters() if isinstance(part, DTensor)]
        ),
    )
    live = model.state_dict()
    for name, weights in full.items():
        fill(live[name], weights)
    return model


def large_blocks(network: nn.Module, at_least: int | None) -> Iterator[nn.Module]:
    """The blocks without tables that have so many parameters: modules that are called as a whole, the outermost ones.

    A module that is made of a list of blocks (a backbone) is no block: they are.
    """
    if at_least is None:
        return
    for child in network.children():
        blocks = list(child) if isinstance(child, nn.ModuleList) else [child]
        for block in blocks:
            if isinstance(block, EmbeddingBagCollection | EmbeddingCollection):
                continue
            listed = not isinstance(child, nn.ModuleList) and any(
                isinstance(part, nn.ModuleList) for part in block.children()
            )
            if listed or _tables(block):
                yield from large_blocks(block, at_least)
            elif 0 < sum(part.numel() for part in block.parameters()) >= at_least:
                yield block


def fill(live: Tensor, full: Tensor) -> None:
    """Copy a whole tensor into the part of it that lies here."""
    with torch.no_grad():
        if isinstance(live, ShardedTensor):
            for part in live.local_shards():
                own = tuple(
                    slice(start, start + size)
                    for start, size in zip(part.metadata.shard_offsets, part.metadata.shard_sizes, strict=True)
                )
                part.tensor.copy_(full[own].view_as(part.tensor))
        elif isinstance(live, DTensor):
            live.copy_(distribute_tensor(full.to(live.device), live.device_mesh, live.placements))
        else:
            live.copy_(full)


def whole(value: Any, group: Group) -> Any:
    """Nested values with all tensors whole and on the CPU, in the first process; of use there alone."""
    if isinstance(value, ShardedTensor):
        out = torch.empty(value.size(), dtype=value.dtype, device=group.device) if group.first else None
        value.gather(dst=0, out=out)
        return None if out is None else out.cpu()
    if isinstance(value, DTensor):
        full = value.full_tensor()
        return full.detach().clone().cpu() if group.first else None  # of one process it is the parameter itself
    if isinstance(value, Tensor):
        return value.detach().cpu().clone() if group.first else None
    if isinstance(value, Mapping):
        return {key: whole(part, group) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(whole(part, group) for part in value)
    return value


def table_sums(model: DistributedModelParallel) -> dict[str, ShardedTensor]:
    """Row-wise Adagrad's sums of squares, (rows,), of the tables of which some rows lie here, by the table's name."""
    state = model.fused_optimizer.state_dict()["state"]
    return {name: next(iter(part.values())) for name, part in state.items()}


def whole_table_sums(model: DistributedModelParallel, group: Group) -> dict[str, Tensor]:
    """The same of all tables, whole, in the first process."""
    own = {
        name: [(part.metadata.shard_offsets[0], part.tensor.detach().cpu()) for part in value.local_shards()]
        for name, value in table_sums(model).items()
    }
    parts: dict[str, list[tuple[int, Tensor]]] = {}
    for found in group.gathered(own) or []:
        for name, shards in found.items():
            parts.setdefault(name, []).extend(shards)
    return {
        name: torch.cat([tensor for _, tensor in sorted(shards, key=lambda part: part[0])])
        for name, shards in parts.items()
    }


def described(model: DistributedModelParallel) -> str:
    """In one line, what lies where."""
    ways = [
        f"{table} {parameter.sharding_type}"
        for module in model.plan.plan.values()
        for table, parameter in sorted(module.items())
    ]
    parts = [(part.numel(), isinstance(part, DTensor)) for name, part in model.named_parameters()]
    sharded = sum(size for size, is_sharded in parts if is_sharded)
    return f"tables: {', '.join(ways) or 'none'}; {sharded:,} dense parameters sharded, the others replicated"


def _tables(network: nn.Module) -> dict[str, nn.Parameter]:
    return {
        f"{path}.{name}".removeprefix("."): parameter
        for path, module in network.named_modules()
        if isinstance(module, EmbeddingBagCollection | EmbeddingCollection)
        for name, parameter in module.named_parameters()
    }


def _sharders(config: TrainingConfig) -> list[Any]:
    fused = {
        "optimizer": EmbOptimType.EXACT_ROWWISE_ADAGRAD,
        "learning_rate": config.embedding_learning_rate,
        "eps": ADAGRAD_EPSILON,
    }
    return [EmbeddingBagCollectionSharder(fused_params=fused), EmbeddingCollectionSharder(fused_params=fused)]


def _plan(network: nn.Module, config: TrainingConfig, group: Group) -> ShardingPlan:
    tables = _tables(network)
    if not tables:
        return ShardingPlan({})
    constraint = ParameterConstraints(
        sharding_types=[way.value for way in _WAYS], compute_kernels=[EmbeddingComputeKernel.FUSED.value]
    )
    planner = EmbeddingShardingPlanner(
        topology=Topology(world_size=group.ranks, local_world_size=group.local_ranks, compute_device=group.device.type),
        batch_size=max(1, config.batch_size // group.ranks),
        storage_reservation=FixedPercentageStorageReservation(_RESERVED),
        constraints={name.split(".")[-2]: constraint for name in tables},
    )
    try:
        return planner.collective_plan(network, _sharders(config), dist.group.WORLD)
    except PlannerError as error:
        raise LatticeError(
            "the embedding tables",
            f"TorchRec's planner finds no place for them in {group.ranks} processes: {str(error).splitlines()[0]}",
            "Give more processes, machines with more memory, or smaller tables in the space file.",
        ) from error
