"""MetaBalance against its algorithm written out in numpy, on gradients known in closed form."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from lattice_model.supervision.metabalance import MetaBalance

Vector = NDArray[np.float64]


def balance(shared: list[nn.Parameter], tasks: int, relax: float = 1.0, decay: float = 0.0) -> MetaBalance:
    return MetaBalance(tasks=tasks, shared=shared, relax=relax, decay=decay)


def test_known_answer() -> None:
    """Norms 5 and 1: the second gradient is multiplied by 5 with relax 1, by 0.5 * 5 + 0.5 with relax 0.5."""
    weight = nn.Parameter(torch.zeros(2))
    for relax, expected in ((1.0, [3.0, 9.0]), (0.5, [3.0, 7.0]), (0.0, [3.0, 5.0])):
        losses = [weight @ torch.tensor([3.0, 4.0]), weight[1]]
        balance([weight], 2, relax).backward(losses, [])
        assert weight.grad is not None and weight.grad.tolist() == pytest.approx(expected)


def test_a_series_of_batches_equals_the_algorithm_written_out() -> None:
    """Linear losses, so that every gradient is chosen here: three tasks, two shared parameters, one that is not."""
    rng = np.random.default_rng(0)
    shapes, relax, decay = [(2, 3), (4,)], 0.7, 0.9
    shared, own = [nn.Parameter(torch.zeros(shape)) for shape in shapes], nn.Parameter(torch.zeros(5))
    meta = balance(shared, 3, relax, decay)
    norms = np.zeros((3, 2))
    for _ in range(6):
        chosen: list[list[Vector]] = [
            [rng.normal(0, 10.0**-task, part.shape) for part in (*shared, own)] for task in range(3)
        ]
        losses = [
            sum(
                ((p * torch.tensor(g).float()).sum() for p, g in zip((*shared, own), task, strict=True)),
                torch.zeros(()),
            )
            for task in chosen
        ]
        meta.backward(losses, [own])
        for position, parameter in enumerate(shared):
            expected = np.zeros(shapes[position])
            for task in range(3):
                gradient = chosen[task][position]
                norms[task, position] = decay * norms[task, position] + (1 - decay) * np.sqrt((gradient**2).sum())
                ratio = norms[0, position] / norms[task, position]
                expected += gradient * ratio * relax + gradient * (1 - relax)
            assert parameter.grad is not None
            np.testing.assert_allclose(parameter.grad.numpy(), expected, rtol=1e-4, atol=1e-6)
        assert own.grad is not None
        np.testing.assert_allclose(own.grad.numpy(), sum(task[2] for task in chosen), rtol=1e-4, atol=1e-6)


def test_a_task_without_labels_in_a_batch_keeps_its_average() -> None:
    weight = nn.Parameter(torch.zeros(1))
    meta = balance([weight], 2, relax=1.0, decay=0.5)
    found = []
    for target, auxiliary in ((8.0, 0.0), (4.0, 2.0), (0.0, 2.0)):
        meta.backward([weight[0] * target, weight[0] * auxiliary], [])
        assert weight.grad is not None
        found.append(weight.grad.item())
    # The target's average after 8 and 4 with decay 0.5: (0.25 * 8 + 0.5 * 4) / 0.75 = 16 / 3; the other's is 2.
    assert found == pytest.approx([8.0, 4.0 + 16 / 3, 16 / 3])


def test_a_parameter_that_a_task_does_not_reach_has_the_others_gradient_alone() -> None:
    both, first, neither = (nn.Parameter(torch.ones(2)) for _ in range(3))
    meta = balance([both, first, neither], 2)
    meta.backward([(both + first).sum(), 3 * both.sum()], [])
    assert both.grad is not None and both.grad.tolist() == pytest.approx([2.0, 2.0])
    assert first.grad is not None and first.grad.tolist() == [1.0, 1.0]
    assert neither.grad is None
