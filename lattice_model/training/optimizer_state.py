"""An optimizer's state as plain values, and back."""

from typing import Any

import torch
from pytorch_optimizer import ScalableShampoo
from torch import Tensor
from torch.optim import Optimizer
from torchrec.optim.keyed import KeyedOptimizer

from lattice_model.training.encoding import Tree


def optimizer_state(optimizer: Optimizer) -> Tree:
    """What ``state_dict`` gives; of an object of the library (Shampoo's) its tensors.

    That of a fused optimizer belongs to sharded tables, and is no single process's: nothing here.
    """
    if isinstance(optimizer, KeyedOptimizer):
        return {"state": {}, "param_groups": []}
    saved = optimizer.state_dict()
    states = {
        number: {key: _tensors(value) if _is_object(value) else value for key, value in state.items()}
        for number, state in saved["state"].items()
    }
    return {"state": states, "param_groups": saved["param_groups"]}


def restore_optimizer(optimizer: Optimizer, saved: Tree) -> None:
    """Give an optimizer that was built in the same way for the same parameters the state that was saved."""
    if isinstance(optimizer, KeyedOptimizer):
        return
    made = _made_objects(optimizer) if isinstance(optimizer, ScalableShampoo) else {}
    states = {}
    for number, state in saved["state"].items():
        states[number] = dict(state)
        for key, value in made.get(number, {}).items():
            for name, tensors in state[key].items():
                setattr(value, name, _to_device(tensors, getattr(value, name)))
            states[number][key] = value
    optimizer.load_state_dict({"state": states, "param_groups": saved["param_groups"]})


def _is_object(value: Any) -> bool:
    return not isinstance(value, Tensor) and hasattr(value, "__dict__")


def _tensors(value: Any) -> dict[str, Tensor | list[Tensor]]:
    """The attributes that are tensors, or lists of them."""
    return {
        name: part
        for name, part in vars(value).items()
        if isinstance(part, Tensor) or (isinstance(part, list) and all(isinstance(item, Tensor) for item in part))
    }


def _made_objects(optimizer: ScalableShampoo) -> dict[int, dict[str, Any]]:
    """Its objects, as they are before the first step, by the number of the parameter."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for parameter in parameters:
        parameter.grad = torch.zeros_like(parameter)  # it makes them only for parameters that have a gradient
    for group in optimizer.param_groups:
        optimizer.init_group(group)
    made = {}
    for number, parameter in enumerate(parameters):
        parameter.grad = None
        made[number] = {key: value for key, value in optimizer.state[parameter].items() if _is_object(value)}
    return made


def _to_device(saved: Tensor | list[Tensor], like: Tensor | list[Tensor]) -> Tensor | list[Tensor]:
    if isinstance(saved, list):
        return [part.to(other.device) for part, other in zip(saved, like, strict=True)]
    assert isinstance(like, Tensor)
    return saved.to(like.device)
