"""FP8 weights for inference: a quarter of the bytes, and products in float32 as before (paper 3.5.2).

Shapes: O outputs, I inputs of a linear layer.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Scaling = Literal["rowwise", "tensorwise"]
_LARGEST = torch.finfo(torch.float8_e4m3fn).max


def to_float8(weight_OI: Tensor, scaling: Scaling) -> tuple[Tensor, Tensor]:
    """The weight in E4M3 and the scale to multiply it with, one for each output or one for all.

    The largest number of a row, or of all, becomes E4M3's largest. A row of zeros stays one.
    """
    size_OI = weight_OI.abs()
    largest = size_OI.amax(1, keepdim=True) if scaling == "rowwise" else size_OI.amax().view(1, 1)
    scale = torch.where(largest > 0, largest, 1.0) / _LARGEST
    return (weight_OI / scale).to(torch.float8_e4m3fn), scale


class Float8WeightLinear(nn.Module):
    """A linear layer whose weight is stored so; plain tensors and operators, which an exported program can hold."""

    def __init__(self, linear: nn.Linear, scaling: Scaling) -> None:
        super().__init__()
        weight_OI, scale = to_float8(linear.weight.detach(), scaling)
        self.weight_OI: Tensor
        self.scale: Tensor
        self.register_buffer("weight_OI", weight_OI)
        self.register_buffer("scale", scale)
        self.bias = linear.bias

    def forward(self, x: Tensor) -> Tensor:
        """Return (..., O)."""
        return F.linear(x, self.weight_OI.to(x.dtype) * self.scale, self.bias)


def use_float8_weights(network: nn.Module, scaling: Scaling = "rowwise") -> int:
    """Store the weights of all linear layers so, in place; how many there are. Embedding tables stay as they are."""
    replaced = 0
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.Linear):
                setattr(module, name, Float8WeightLinear(child, scaling))
                replaced += 1
    return replaced
