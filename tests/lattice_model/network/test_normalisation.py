"""RMSNorm and SwishRMSNorm against their formulas, worked out in float64."""

import pytest
import torch

from lattice_model.network.normalisation import EPSILON, RMSNorm, SwishRMSNorm


def reference(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    wide = x.double()
    return wide / (wide.pow(2).mean(-1, keepdim=True) + EPSILON).sqrt() * weight.double()


@pytest.fixture
def x_weight() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    return torch.randn(5, 7, 12, generator=generator) * 40, torch.rand(12, generator=generator) + 0.5


def test_rms_norm_is_its_formula(x_weight: tuple[torch.Tensor, torch.Tensor]) -> None:
    x, weight = x_weight
    norm = RMSNorm(12)
    norm.weight.data = weight
    torch.testing.assert_close(norm(x).double(), reference(x, weight), rtol=1e-5, atol=1e-6)


def test_swish_rms_norm_is_its_formula(x_weight: tuple[torch.Tensor, torch.Tensor]) -> None:
    x, weight = x_weight
    norm = SwishRMSNorm(12)
    norm.weight.data = weight
    expected = reference(x, weight) * torch.sigmoid(reference(x, weight))
    torch.testing.assert_close(norm(x).double(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("norm", [RMSNorm(8), SwishRMSNorm(8)])
def test_computed_in_float32_and_returned_in_the_type_of_the_input(norm: torch.nn.Module) -> None:
    x = (torch.randn(64, 8, generator=torch.Generator().manual_seed(0)) * 100).bfloat16()
    out = norm(x)
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(out, norm(x.float()).bfloat16(), rtol=0, atol=0)


@pytest.mark.parametrize("norm", [RMSNorm(8), SwishRMSNorm(8)])
def test_zero_stays_zero_with_a_finite_gradient(norm: torch.nn.Module) -> None:
    x = torch.zeros(2, 8, requires_grad=True)
    out = norm(x)
    out.sum().backward()
    assert (out == 0).all()
    assert x.grad is not None and x.grad.isfinite().all()


@pytest.mark.parametrize("norm", [RMSNorm(8), SwishRMSNorm(8)])
def test_scale_of_the_input_does_not_matter(norm: torch.nn.Module) -> None:
    x = torch.randn(4, 8, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(norm(x * 1000), norm(x), rtol=1e-4, atol=1e-5)
