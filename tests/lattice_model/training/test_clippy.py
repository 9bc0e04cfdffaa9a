"""Clippy against Algorithm 1 written out in numpy, and what it promises of any update."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.optim import SGD, Adagrad, AdamW

from lattice_model.training.clippy import clip_update, clipped_updates

NUMBERS = st.floats(-100, 100, width=32)


def test_known_answer() -> None:
    """Allowed: 0.5 * 2 + 0.1 = 1.1 and 0.5 * 0 + 0.1 = 0.1. Asked: 0.3 and 0.4. The share is 0.25."""
    moved = clip_update(torch.tensor([2.0, 0.0]), torch.tensor([2.3, -0.4]), relative=0.5, absolute=0.1)
    torch.testing.assert_close(moved, torch.tensor([2.075, -0.1]))


@given(st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=6), st.floats(0, 2), st.floats(1e-3, 2))
def test_no_weight_moves_further_than_allowed_and_one_moves_as_far(
    pairs: list[tuple[float, float]], relative: float, absolute: float
) -> None:
    before, after = torch.tensor(pairs, dtype=torch.float64).T
    moved = clip_update(before, after, relative=relative, absolute=absolute)
    allowed, asked, done = relative * before.abs() + absolute, (after - before).abs(), (moved - before).abs()
    assert (done <= allowed * (1 + 1e-9) + 1e-9).all()
    if (asked <= allowed).all():
        assert torch.equal(moved, after)
    else:
        assert (done - allowed).abs().min() < 1e-9


def test_adagrad_s_steps_equal_algorithm_1() -> None:
    rng = np.random.default_rng(0)
    start = [rng.normal(0, 0.3, (3, 4)), rng.normal(0, 0.3, 5)]
    parameters = [torch.nn.Parameter(torch.tensor(part)) for part in start]
    optimizer = Adagrad(parameters, lr=0.2, eps=0.0)
    weights = [part.copy() for part in start]
    squares = [np.zeros_like(part) for part in start]
    shares = []
    for _ in range(4):
        for parameter, w, square in zip(parameters, weights, squares, strict=True):
            gradient = rng.normal(0, 1, w.shape)
            parameter.grad = torch.tensor(gradient)
            square += gradient**2
            update = gradient / np.sqrt(square)
            share = 1.0
            for index in np.ndindex(*w.shape):
                share = min(share, (0.5 * abs(w[index]) + 0.1) / (0.2 * abs(update[index])))
            w -= 0.2 * share * update
            shares.append(share)
        with clipped_updates(parameters, relative=0.5, absolute=0.1):
            optimizer.step()
    for parameter, w in zip(parameters, weights, strict=True):
        np.testing.assert_allclose(parameter.detach().numpy(), w, rtol=1e-12)
    assert min(shares) < 0.9 and max(shares) == 1.0


@pytest.mark.parametrize("kind", [AdamW, SGD])
def test_each_parameter_is_clipped_on_its_own_and_one_without_gradient_stays(kind: type[AdamW] | type[SGD]) -> None:
    calm, wild, idle = (torch.nn.Parameter(torch.ones(2)) for _ in range(3))
    optimizer = kind([{"params": [calm], "lr": 1e-3}, {"params": [wild], "lr": 10.0}, {"params": [idle], "lr": 1.0}])
    calm.grad, wild.grad = torch.ones(2), torch.ones(2)
    with clipped_updates([calm, wild, idle], relative=0.0, absolute=0.25):
        optimizer.step()
    torch.testing.assert_close(calm.detach(), torch.full((2,), 0.999), atol=1e-4, rtol=0)
    torch.testing.assert_close(wild.detach(), torch.full((2,), 0.75))
    assert torch.equal(idle.detach(), torch.ones(2))
