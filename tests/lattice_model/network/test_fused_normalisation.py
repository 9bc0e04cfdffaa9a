"""The fused SwishRMSNorm against its plain reference: values and both gradients."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from lattice_model.network import fused_normalisation
from lattice_model.network.fused_normalisation import FusedSwishRMSNorm, compiled_swish_rms_norm, fuse
from lattice_model.network.normalisation import SwishRMSNorm, swish_rms_norm
from tests.lattice_model.test_models import made

# Rows of one program and of several, widths that are powers of two and not, three dimensions, a zero row.
SHAPES = ((1, 1), (3, 256), (300, 48), (5, 7, 33))


def check(norm: Callable[[Tensor, Tensor], Tensor], device: str, dtype: torch.dtype = torch.float32) -> None:
    """Parity of ``norm`` on random rows: to the rounding of sums over rows, in bf16 to the width of its mantissa."""
    rtol, atol = (1e-4, 2e-5) if dtype == torch.float32 else (2e-2, 2e-2)
    for shape in SHAPES:
        generator = torch.Generator().manual_seed(len(shape) + shape[0])
        x = torch.randn(shape, generator=generator).to(device, dtype)
        x[0] = 0.0
        weight, dy = (torch.randn(s, generator=generator).to(device) for s in (shape[-1:], shape))
        found = []
        for function in (norm, swish_rms_norm):
            ours, scale = x.clone().requires_grad_(), weight.clone().requires_grad_()
            y = function(ours, scale)
            assert (y.dtype, y.shape) == (dtype, x.shape)
            y.backward(dy.to(dtype))
            found.append((y, ours.grad, scale.grad))
        for ours_part, reference_part in zip(*found, strict=True):
            torch.testing.assert_close(ours_part, reference_part, rtol=rtol, atol=atol)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_compiled(dtype: torch.dtype) -> None:
    check(compiled_swish_rms_norm, "cpu", dtype)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="Triton's kernel runs on a GPU, and there is none")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_triton(dtype: torch.dtype) -> None:
    check(fused_normalisation.triton_swish_rms_norm, "cuda", dtype)


def test_what_the_kernel_computes_without_a_gpu() -> None:
    """By Triton's interpreter, which reads its switch when Triton is imported: in a process of its own."""
    code = (
        "from tests.lattice_model.network.test_fused_normalisation import check\n"
        "from lattice_model.network.fused_normalisation import triton_swish_rms_norm\n"
        "check(triton_swish_rms_norm, 'cpu')\n"
        "print('same')"
    )
    environment = {**os.environ, "TRITON_INTERPRET": "1", "PYTHONPATH": str(Path(__file__).parents[3])}
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert ran.stdout.strip() == "same", ran.stderr


def test_a_network_is_fused_in_place() -> None:
    network = made("lattice")
    before = {name: parameter.data_ptr() for name, parameter in network.named_parameters()}
    plain = [name for name, module in network.named_modules() if type(module) is SwishRMSNorm]
    fuse(network)
    assert plain
    assert all(type(network.get_submodule(name)) is FusedSwishRMSNorm for name in plain)
    assert {name: parameter.data_ptr() for name, parameter in network.named_parameters()} == before
    norm = network.get_submodule(plain[0])
    assert isinstance(norm, FusedSwishRMSNorm)
    x = torch.randn(4, norm.weight.shape[0])
    torch.testing.assert_close(norm(x), swish_rms_norm(x, norm.weight))
