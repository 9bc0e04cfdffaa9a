"""In which precision each family of a network's modules computes: FP32, BF16 or FP8 (paper 3.5.2).

Norms, look-ups, sums and the heads' last products are float32 in every family; between families everything is.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import wraps
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

from lattice_model.training.config import Precision
from schemas.errors import LatticeError

FAMILIES = {
    "processors": ("preprocessor.categorical", "preprocessor.dense", "preprocessor.sequences"),
    "mixing": ("preprocessor.mixing",),
    "transformer": ("backbone.transformers",),
    "fusion": ("backbone.fusions",),
    "heads": ("tasks",),
}
"""Where a Lattice Network has them; the other models have the first, the second and the last."""
_MULTIPLE = 16
"""Of both sides of a matrix that FP8 kernels take."""
_FIRST_CAPABILITY = (8, 9)
"""Of a GPU that has them; elsewhere FP8 is emulated: the same rounding, computed in float32."""


def apply_precision(network: nn.Module, precision: Precision, device: torch.device) -> dict[str, int]:
    """Let each family compute as asked, in place; parameters stay float32, by the same names.

    FP8 takes the linear layers whose sides are multiples of 16, with scales found anew in every pass (torchao), and the
    other matrix products of its family are BF16. Returned is how many layers of each family are FP8.

    Raises:
        LatticeError: the network lacks a family, or FP8 is asked of one without such a layer.
    """
    found = {}
    for family, paths in FAMILIES.items():
        wanted = getattr(precision, family)
        if wanted == "fp32":
            continue
        modules = [module for path in paths for module in _modules(network, path)]
        if not modules:
            raise _refused(family, "The model has no such part.", "fp32")
        if wanted == "fp8":
            found[family] = sum(_to_float8(module, precision, device) for module in modules)
            if not found[family]:
                raise _refused(family, f"It has no linear layer whose sides are multiples of {_MULTIPLE}.", "bf16")
        for module in modules:
            module.forward = _autocast(module.forward, device)
    return found


def _modules(network: nn.Module, path: str) -> Iterator[nn.Module]:
    """What lies there, or each of a list that does; nothing where the network has no such place."""
    try:
        found = network.get_submodule(path)
    except AttributeError:
        return
    yield from found if isinstance(found, nn.ModuleList) else [found]


def _to_float8(module: nn.Module, precision: Precision, device: torch.device) -> int:
    from torchao.float8 import Float8LinearConfig, convert_to_float8_training  # it takes seconds, which few runs need
    from torchao.float8.float8_linear import Float8Linear

    emulated = device.type != "cuda" or torch.cuda.get_device_capability(device) < _FIRST_CAPABILITY
    recipe = Float8LinearConfig.from_recipe_name(precision.scaling)
    config = replace(recipe, pad_inner_dim=True, emulate=emulated)
    convert_to_float8_training(
        module,
        module_filter_fn=lambda part, _: part.in_features % _MULTIPLE == part.out_features % _MULTIPLE == 0,
        config=config,
    )
    layers = [part for part in module.modules() if isinstance(part, Float8Linear)]
    if emulated:
        for layer in layers:
            layer.register_forward_pre_hook(_as_weight)
    return len(layers)


def _as_weight(layer: nn.Linear, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """torchao's emulation takes both sides in one type."""
    return tuple(value.to(layer.weight.dtype) for value in inputs)


def _autocast(forward: Callable[..., Any], device: torch.device) -> Callable[..., Any]:
    """The same with matrix products in BF16, and float32 as its result."""

    @wraps(forward)
    def cast(*inputs: Any, **named: Any) -> Any:
        with torch.autocast(device.type, dtype=torch.bfloat16):
            found = forward(*inputs, **named)
        return tree_map_only(Tensor, lambda value: value.float() if value.is_floating_point() else value, found)

    return cast


def _refused(family: str, problem: str, instead: str) -> LatticeError:
    return LatticeError(f"the training setting precision.{family}", problem, f"Set it to {instead}.")
