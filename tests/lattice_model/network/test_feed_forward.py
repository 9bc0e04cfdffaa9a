"""Adaptive parameter generation: what the generated matrix does, and that its context matters."""

import torch

from lattice_model.network.feed_forward import AdaptiveFeedForward


def block() -> AdaptiveFeedForward:
    torch.manual_seed(0)
    return AdaptiveFeedForward(dim=8, width=12, rank=3, dropout=0.0)


def test_each_token_meets_weights_generated_for_it() -> None:
    """Known answer: token by token, the first layer is ``up + expand G reduce`` as one explicit matrix."""
    ffn, x, context = block(), torch.randn(2, 5, 8), torch.randn(2, 8)
    expected = torch.empty(2, 5, 8)
    for b in range(2):
        for s in range(5):
            generated = ffn.generate(ffn.condition_norm(x[b, s] + context[b])).reshape(3, 3)
            weight = ffn.up.weight + ffn.expand.weight @ generated @ ffn.reduce.weight
            expected[b, s] = ffn.down(ffn.activation(weight @ x[b, s]))
    torch.testing.assert_close(ffn(x, context), expected)


def test_the_context_changes_the_weights() -> None:
    ffn, x = block(), torch.randn(2, 5, 8)
    assert (ffn(x, torch.randn(2, 8)) - ffn(x, torch.randn(2, 8))).abs().max() > 1e-3
