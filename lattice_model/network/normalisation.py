"""RMSNorm and Swish RMSNorm, without biases (paper 3.3.4)."""

import torch
from torch import Tensor, nn

EPSILON = 1e-6


def rms_norm(x: Tensor, weight: Tensor) -> Tensor:
    """``x / sqrt(mean(x^2) + eps) * weight`` over the last dimension, in float32; the result has the type of x.

    A zero vector stays zero.
    """
    wide = x.float()
    return (wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + EPSILON) * weight).to(x.dtype)


def swish_rms_norm(x: Tensor, weight: Tensor) -> Tensor:
    """``RMSNorm(x) * sigmoid(RMSNorm(x))`` over the last dimension, in float32; the result has the type of x."""
    return nn.functional.silu(rms_norm(x.float(), weight)).to(x.dtype)


class RMSNorm(nn.Module):
    """``rms_norm`` with one learned scale a channel."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return rms_norm(x, self.weight)


class SwishRMSNorm(nn.Module):
    """``swish_rms_norm`` with one learned scale a channel: the backbone's activation."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return swish_rms_norm(x, self.weight)
