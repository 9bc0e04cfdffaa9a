"""SwishRMSNorm as one kernel (paper 3.5.3, fused SwishRN): by torch.compile anywhere, by Triton on a GPU.

``normalisation.swish_rms_norm`` is the reference for both. Eager PyTorch reads and writes the row some ten times;
either form reads it once and writes it once. The backward pass, with ``h = x r``, ``r = 1 / sqrt(mean(x^2) + eps)``,
``n = h w`` and ``g = dy sigmoid(n) (1 + n (1 - sigmoid(n)))``:

    dw = sum over rows of g h,    dx = r (g w - h mean(g w h)).

Shapes: R rows, N channels, P programs of a grid.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor, nn

from lattice_model.network.normalisation import EPSILON, SwishRMSNorm, swish_rms_norm

# Each adds up the gradient of the weight over its own rows, in one order: the sum is the same every time.
_PROGRAMS = 256

compiled_swish_rms_norm = torch.compile(swish_rms_norm, dynamic=True)
"""The reference, fused by the compiler; it is compiled at the first call."""


@triton.jit
def _forward(x, weight, y, inverse, width, epsilon, block: tl.constexpr):  # type: ignore[no-untyped-def]
    row = tl.program_id(0).to(tl.int64)
    columns = tl.arange(0, block)
    inside = columns < width
    x_N = tl.load(x + row * width + columns, mask=inside, other=0.0).to(tl.float32)
    weight_N = tl.load(weight + columns, mask=inside, other=0.0).to(tl.float32)
    r = 1.0 / tl.sqrt(tl.sum(x_N * x_N, axis=0) / width + epsilon)
    n_N = x_N * r * weight_N
    tl.store(y + row * width + columns, (n_N * tl.sigmoid(n_N)).to(y.dtype.element_ty), mask=inside)
    tl.store(inverse + row, r)


@triton.jit
def _backward(dy, x, weight, inverse, dx, dweight, rows, width, block: tl.constexpr):  # type: ignore[no-untyped-def]
    program = tl.program_id(0)
    columns = tl.arange(0, block)
    inside = columns < width
    weight_N = tl.load(weight + columns, mask=inside, other=0.0).to(tl.float32)
    dweight_N = tl.zeros((block,), tl.float32)
    for row in range(program, rows, tl.num_programs(0)):
        start = tl.cast(row, tl.int64) * width
        h_N = tl.load(x + start + columns, mask=inside, other=0.0).to(tl.float32) * tl.load(inverse + row)
        dy_N = tl.load(dy + start + columns, mask=inside, other=0.0).to(tl.float32)
        n_N = h_N * weight_N
        swish_N = tl.sigmoid(n_N)
        g_N = dy_N * swish_N * (1.0 + n_N * (1.0 - swish_N))
        dweight_N += g_N * h_N
        gw_N = g_N * weight_N
        dx_N = tl.load(inverse + row) * (gw_N - h_N * (tl.sum(gw_N * h_N, axis=0) / width))
        tl.store(dx + start + columns, dx_N.to(dx.dtype.element_ty), mask=inside)
    tl.store(dweight + program * width + columns, dweight_N, mask=inside)


class _SwishRMSNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        x_RN = x.reshape(-1, x.shape[-1]).contiguous()
        rows, width = x_RN.shape
        y_RN = torch.empty_like(x_RN)
        inverse_R = torch.empty(rows, device=x.device, dtype=torch.float32)
        if rows:
            _forward[(rows,)](x_RN, weight, y_RN, inverse_R, width, EPSILON, block=triton.next_power_of_2(width))
        ctx.save_for_backward(x_RN, weight, inverse_R)
        return y_RN.view(x.shape)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, Tensor]:
        x_RN, weight, inverse_R = ctx.saved_tensors
        rows, width = x_RN.shape
        programs = max(1, min(rows, _PROGRAMS))
        dx_RN = torch.empty_like(x_RN)
        dweight_PN = torch.zeros(programs, width, device=x_RN.device, dtype=torch.float32)
        if rows:
            dy_RN = dy.reshape(rows, width).contiguous()
            block = triton.next_power_of_2(width)
            _backward[(programs,)](dy_RN, x_RN, weight, inverse_R, dx_RN, dweight_PN, rows, width, block=block)
        return dx_RN.view(dy.shape), dweight_PN.sum(0).to(weight.dtype)


def triton_swish_rms_norm(x: Tensor, weight: Tensor) -> Tensor:
    """``swish_rms_norm`` by the Triton kernel; needs a GPU (or Triton's interpreter, which is for tests)."""
    out: Tensor = _SwishRMSNorm.apply(x, weight)
    return out


class FusedSwishRMSNorm(SwishRMSNorm):
    """``SwishRMSNorm`` by the Triton kernel on a GPU, by the compiled reference elsewhere."""

    def forward(self, x: Tensor) -> Tensor:
        return (triton_swish_rms_norm if x.is_cuda else compiled_swish_rms_norm)(x, self.weight)


def fuse(network: nn.Module) -> None:
    """Have every ``SwishRMSNorm`` of a network, its weights as they are, run as one kernel."""
    for name, module in list(network.named_modules()):
        if type(module) is SwishRMSNorm:
            fused = FusedSwishRMSNorm(module.weight.shape[0])
            fused.weight = module.weight
            network.set_submodule(name, fused)
