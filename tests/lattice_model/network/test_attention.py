"""RoPE, QK-norm and masks, against an attention spelled out here."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lattice_model.network.attention import Attention, rotate
from lattice_model.network.normalisation import RMSNorm, rms_norm


def vectors(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    query, key = torch.randn(2, 1, 1, 1, 8, generator=generator)
    return query, key


def score(query: torch.Tensor, key: torch.Tensor, at: int, other: int) -> torch.Tensor:
    return (rotate(query, torch.tensor([at])) * rotate(key, torch.tensor([other]))).sum()


@given(seed=st.integers(0, 1000), at=st.integers(0, 60), other=st.integers(0, 60), shift=st.integers(0, 60))
def test_rotated_dot_product_depends_on_the_difference_of_positions_alone(
    seed: int, at: int, other: int, shift: int
) -> None:
    query, key = vectors(seed)
    torch.testing.assert_close(
        score(query, key, at, other), score(query, key, at + shift, other + shift), rtol=1e-3, atol=1e-3
    )


def test_rotated_dot_product_does_depend_on_that_difference() -> None:
    query, key = vectors(0)
    scores = torch.stack([score(query, key, at, 0) for at in range(6)])
    assert scores.diff().abs().min() > 1e-3


def test_position_zero_is_not_turned_and_lengths_are_kept() -> None:
    x = torch.randn(2, 5, 3, 8, generator=torch.Generator().manual_seed(0))
    turned = rotate(x, torch.arange(5))
    torch.testing.assert_close(turned[:, 0], x[:, 0])
    torch.testing.assert_close(turned.norm(dim=-1), x.norm(dim=-1))


def test_rotation_is_by_the_declared_angles() -> None:
    """Known answer: channels (0, 2) turn by p, channels (1, 3) by p / 100 (base 10,000, width 4)."""
    position = 3.0
    turned = rotate(torch.tensor([1.0, 1.0, 0.0, 0.0]).reshape(1, 1, 1, 4), torch.tensor([3]))
    angles = torch.tensor([position, position / 100])
    torch.testing.assert_close(turned.flatten(), torch.cat([angles.cos(), angles.sin()]))


@pytest.mark.parametrize("rotary", [True, False])
@pytest.mark.parametrize("heads", [1, 2])
def test_attention_is_its_definition(heads: int, rotary: bool) -> None:
    torch.manual_seed(0)
    attention = Attention(dim=8, heads=heads, rotary=rotary)
    assert isinstance(attention.query_norm, RMSNorm) and isinstance(attention.key_norm, RMSNorm)
    with torch.no_grad():
        attention.query_norm.weight.uniform_(0.5, 1.5)
        attention.key_norm.weight.uniform_(0.5, 1.5)
    x, visible = torch.randn(3, 5, 8), torch.rand(3, 5) > 0.4
    visible[:, 0] = True
    width = 8 // heads
    key_all, value_all = attention.key_value(x).chunk(2, dim=-1)
    outputs = []
    for head in range(heads):
        part = slice(head * width, (head + 1) * width)
        query = rms_norm(attention.query(x)[..., part], attention.query_norm.weight)
        key = rms_norm(key_all[..., part], attention.key_norm.weight)
        if rotary:
            query, key = (rotate(t[:, :, None], torch.arange(5))[:, :, 0] for t in (query, key))
        scores = (query @ key.transpose(1, 2)) / width**0.5
        weights = scores.masked_fill(~visible[:, None], float("-inf")).softmax(-1)
        outputs.append(weights @ value_all[..., part])
    torch.testing.assert_close(attention(x, x, visible), attention.out(torch.cat(outputs, -1)), rtol=1e-4, atol=1e-5)


def test_qk_norm_keeps_scores_bounded_however_large_the_input_is() -> None:
    torch.manual_seed(0)
    attention = Attention(dim=8, heads=2, rotary=True)
    x = torch.randn(2, 4, 8)
    once, hugely = attention(x, x), attention(1e4 * x, 1e4 * x)
    torch.testing.assert_close(hugely / 1e4, once, rtol=1e-3, atol=1e-4)
