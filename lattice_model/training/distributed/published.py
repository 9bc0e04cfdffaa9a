"""Between a sharded run and what a run leaves behind, which is the same for any number of processes."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor
from torchrec.distributed.model_parallel import DistributedModelParallel

from lattice_model.network.model import Model
from lattice_model.training.distributed.group import Group
from lattice_model.training.distributed.sharding import fill, table_sums, whole, whole_table_sums
from lattice_model.training.encoding import Tree
from lattice_model.training.optimizers import dense_parameters


def table_names(network: Model) -> list[str]:
    """The tables' parameters of a whole network, in its order."""
    dense = {id(part) for part in dense_parameters(network)}
    return [name for name, part in network.named_parameters() if id(part) not in dense]


def whole_state(state: Tree, tables: Sequence[str], model: DistributedModelParallel, group: Group) -> Tree | None:
    """The state of a sharded ``Step`` as that of one process, in the first process; None in the others.

    ``tables`` are their parameters' names in the order of the whole network.
    """
    found, sums = whole(state, group), whole_table_sums(model, group)
    if not group.first:
        return None
    if tables:
        steps = torch.tensor(float(found["schedules"][0]["last_epoch"]))
        found["optimizers"][-1] = {
            "state": {
                number: {"step": steps.clone(), "sum": sums[name].view(-1, 1)} for number, name in enumerate(tables)
            },
            "param_groups": [{"params": list(range(len(tables)))}],
        }
    return found


def sharded_state(state: Tree, tables: Sequence[str], model: DistributedModelParallel) -> Tree:
    """The state of one process's ``Step`` as that of a sharded one; the tables' is copied into the model at once."""
    optimizers = list(state["optimizers"])
    if tables:
        saved, live = optimizers[-1]["state"], table_sums(model)
        for number, name in enumerate(tables):
            if name in live:
                fill(live[name], saved[number]["sum"])
        optimizers[-1] = {"state": {}, "param_groups": []}
    dense = dense_parameters(model)
    if any(isinstance(part, DTensor) for part in dense):  # of AdamW alone: nothing else is sharded
        ordered = [part for part in dense if part.ndim >= 2] + [part for part in dense if part.ndim < 2]
        optimizers[0] = {
            **optimizers[0],
            "state": {
                number: {key: _like(value, ordered[number]) for key, value in entry.items()}
                for number, entry in optimizers[0]["state"].items()
            },
        }
    return {**state, "optimizers": optimizers}


def _like(value: Tensor, parameter: nn.Parameter) -> Tensor:
    """A whole tensor, sharded as the parameter is if it has its shape."""
    if not isinstance(parameter, DTensor) or value.shape != parameter.shape:
        return value
    return distribute_tensor(value.to(parameter.device), parameter.device_mesh, parameter.placements)
