"""What cannot be combined with several processes, said before a run begins."""

from torch import nn

from lattice_model.training.config import TrainingConfig
from lattice_model.training.distributed.group import Group
from lattice_model.training.distributed.sharding import large_blocks
from schemas.errors import LatticeError


def refuse(config: TrainingConfig, network: nn.Module, group: Group) -> None:
    """Raise LatticeError for the first setting that a distributed run does not have.

    Embedding tables are updated within the backward pass, once a step, by gradients that are sums over processes: what
    needs their gradients, or several passes a step, has no place.
    """
    fused = "Tables are updated within the backward pass"
    refused = {
        "metabalance": (
            config.metabalance is not None,
            f"{fused}, so that no objective's own gradient can be scaled before.",
            "leave it out",
        ),
        "accumulate": (config.accumulate > 1, f"{fused}, so that a step has one.", "set it to 1; more processes do it"),
        "correlation_weight": (
            config.correlation_weight > 0,
            "A correlation over a batch is no sum over the shares of the processes.",
            "set it to 0",
        ),
        "compile": (config.compile, "The compiler does not see through sharded parts.", "set it to false"),
        "batch_size": (
            config.batch_size < group.ranks,
            f"A batch of {config.batch_size} rows does not give each of {group.ranks} processes one.",
            "make it larger",
        ),
        "optimizer": (
            config.optimizer != "adamw" and any(True for _ in large_blocks(network, config.shard_from)),
            f"{config.optimizer} decomposes whole matrices, and blocks of {config.shard_from} parameters or more are "
            "sharded.",
            "set shard_from to null, which replicates all dense parts",
        ),
    }
    for name, (applies, problem, remedy) in refused.items():
        if applies:
            raise LatticeError(
                f"the training setting {name}, with torchrun",
                problem,
                f"For a run of several processes {remedy}; or train in one process without torchrun.",
            )
