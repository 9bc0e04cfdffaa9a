"""RMSNorm and Swish RMSNorm, without biases (paper 3.3.4), and what makes the latter cheap (3.5.3)."""

from typing import Literal

import torch
from torch import Tensor, nn

EPSILON = 1e-6
Gate = Literal["sigmoid", "hard_sigmoid"]


def rms_norm(x: Tensor, weight: Tensor) -> Tensor:
    """``x / sqrt(mean(x^2) + eps) * weight`` over the last dimension, in float32; the result has the type of x.

    A zero vector stays zero.
    """
    wide = x.float()
    return (wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + EPSILON) * weight).to(x.dtype)


def block_norm(x: Tensor, weight: Tensor, block: int) -> Tensor:
    """``rms_norm`` over each ``block`` neighbours of the last dimension for itself (BlockNorm, paper 3.5.3)."""
    return rms_norm(x.unflatten(-1, (-1, block)), weight.unflatten(-1, (-1, block))).flatten(-2)


def swish_rms_norm(x: Tensor, weight: Tensor, gate: Gate = "sigmoid", block: int | None = None) -> Tensor:
    """``RMSNorm(x) * sigmoid(RMSNorm(x))`` over the last dimension, in float32; the result has the type of x.

    The hard sigmoid is ``clamp(z / 6 + 1/2, 0, 1)``: no exponential. ``block`` is BlockNorm's, None for the whole.
    """
    wide = x.float()
    normed = rms_norm(wide, weight) if block is None else block_norm(wide, weight, block)
    activation = nn.functional.silu if gate == "sigmoid" else nn.functional.hardswish
    return activation(normed).to(x.dtype)


class RMSNorm(nn.Module):
    """``rms_norm`` with one learned scale a channel."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return rms_norm(x, self.weight)


class SwishRMSNorm(nn.Module):
    """``swish_rms_norm`` with one learned scale a channel: the backbone's activation."""

    def __init__(self, width: int, *, gate: Gate = "sigmoid", block: int | None = None) -> None:
        super().__init__()
        self.gate: Gate = gate
        self.block = block
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return swish_rms_norm(x, self.weight, self.gate, self.block)
