"""Nested values as JSON, with their tensors apart.

How a tensor lies in memory is kept: products and decompositions of the same numbers laid out otherwise may round
otherwise.
"""

import json
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

Tree = Any
"""None, a bool, number, string or tensor, or a list, tuple or dict of such."""


def encoded(value: Tree, tensors: dict[str, Tensor], as_it_is: tuple[type[Any], ...] = (), key: str = "") -> Any:
    """The value as JSON; its tensors are put into ``tensors``, under keys that say where in it they lie.

    Those of the types ``as_it_is`` are put there themselves, all others as contiguous copies on the CPU.
    """
    if isinstance(value, as_it_is):
        tensors[key] = value
        return {"tensor": key}
    if isinstance(value, Tensor):
        tensors[key] = value.detach().cpu().contiguous()
        return {"tensor": key, "stride": list(value.stride())}
    if isinstance(value, list | tuple):
        items = [encoded(item, tensors, as_it_is, f"{key}/{number}") for number, item in enumerate(value)]
        return {"tuple": items} if isinstance(value, tuple) else items
    if isinstance(value, dict):
        # As JSON a name is told from a number, and from a path through several dicts.
        keys = {name: f"{key}/{json.dumps(name)}" for name in value}
        return {"dict": [[name, encoded(item, tensors, as_it_is, keys[name])] for name, item in value.items()]}
    return value


def decoded(value: Any, tensors: Mapping[str, Tensor]) -> Tree:
    """What ``encoded`` was given; tensors that were put there as they are come from ``tensors`` themselves."""
    if isinstance(value, list):
        return [decoded(item, tensors) for item in value]
    if not isinstance(value, dict):
        return value
    if "tuple" in value:
        return tuple(decoded(item, tensors) for item in value["tuple"])
    if "dict" in value:
        return {name: decoded(item, tensors) for name, item in value["dict"]}
    stored = tensors[value["tensor"]]
    if "stride" not in value:
        return stored
    # What keeps tensors may have no place for one of no dimension: it is then one of a single value.
    stored = stored if value["stride"] else stored.view(())
    # A view of a file may begin anywhere, and rounding may depend on that.
    return torch.empty_strided(stored.shape, value["stride"], dtype=stored.dtype).copy_(stored)
