"""The Fusion Block's parts against their explicit forms."""

import pytest
import torch

from lattice_model.network.config import Hyperparameters
from lattice_model.network.fusion import FusionBlock, LinearCompressionBlock, low_rank_interactions


def test_low_rank_interactions_equal_the_explicit_pairwise_form() -> None:
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(4, 9, 6, generator=generator), torch.randn(9, 3, generator=generator)
    explicit = torch.zeros(4, 9, 3)
    for row in range(4):
        for i in range(9):
            for j in range(9):
                explicit[row, i] += torch.dot(x[row, i], x[row, j]) * y[j]
    torch.testing.assert_close(low_rank_interactions(x.transpose(1, 2), y), explicit, rtol=1e-4, atol=1e-4)


def test_linear_compression_is_a_weighted_sum_of_tokens() -> None:
    torch.manual_seed(0)
    block = LinearCompressionBlock(tokens=5, out_tokens=3)
    x = torch.randn(2, 5, 4)
    expected = torch.zeros(2, 3, 4)
    for i in range(3):
        for j in range(5):
            expected[:, i] += block.weight[i, j] * x[:, j]
    torch.testing.assert_close(block(x.transpose(1, 2)), expected)


@pytest.mark.parametrize("tokens", [4, 7])
def test_block_normalises_the_sum_of_its_parts_and_the_residual(tokens: int) -> None:
    torch.manual_seed(0)
    hyper = Hyperparameters(dim=8, fmb_rank=3, fmb_widths=(16,), fmb_tokens=3, lcb_tokens=1, dropout=0.0)
    block = FusionBlock(tokens=tokens, read_tokens=2, hyper=hyper)
    o_cd, read = torch.randn(6, tokens, 8), torch.randn(6, 2, 8)
    x = torch.cat([o_cd, read], dim=1).transpose(1, 2)
    residual = o_cd if block.residual is None else block.residual(o_cd.transpose(1, 2))
    assert (block.residual is None) == (tokens == 4)
    assert block.fmb is not None and block.lcb is not None
    out = block(o_cd, [read])
    torch.testing.assert_close(out, block.norm(torch.cat([block.fmb(x), block.lcb(x)], dim=1) + residual))
    torch.testing.assert_close(out.square().mean(-1), torch.ones(6, 4), rtol=1e-3, atol=1e-3)
