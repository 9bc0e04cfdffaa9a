"""Which optimizer moves which parameter."""

import copy
from typing import Literal

import pytest
import torch
from pytorch_optimizer import SOAP, ScalableShampoo
from torch import nn
from torch.optim import AdamW
from torchrec.optim.rowwise_adagrad import RowWiseAdagrad

from lattice_model.training.config import TrainingConfig
from lattice_model.training.optimizers import build_optimizers, dense_parameters, table_parameters
from tests.lattice_model.training.runs import MANIFEST, network


def test_tables_and_the_rest_share_out_the_parameters() -> None:
    model = network()
    tables, dense = table_parameters(model), dense_parameters(model)
    assert {id(part) for part in (*tables, *dense)} == {id(part) for part in model.parameters()}
    assert len(tables) + len(dense) == len(list(model.parameters()))
    sizes = {part.id_space: part.size for part in MANIFEST.categorical}
    events = {part.id_space: part.size for part in MANIFEST.sequences[0].ids}
    assert sorted(table.shape[0] for table in tables) == sorted([*sizes.values(), *events.values()])


def test_decay_is_for_matrices_alone() -> None:
    adam, adagrad = build_optimizers(network(), TrainingConfig(weight_decay=0.1))
    assert isinstance(adam, AdamW) and isinstance(adagrad, RowWiseAdagrad)
    for group in adam.param_groups:
        assert all((part.ndim >= 2) == (group["weight_decay"] == 0.1) for part in group["params"])
    assert all(group["weight_decay"] == 0 for group in adagrad.param_groups)


def test_a_row_of_a_table_without_gradient_stays() -> None:
    model = network()
    table = table_parameters(model)[0]
    before = table.detach().clone()
    table.grad = torch.zeros_like(table)
    table.grad[3] = torch.arange(1.0, table.shape[1] + 1)
    build_optimizers(model, TrainingConfig(embedding_learning_rate=0.5))[1].step()
    moved = (table - before).abs().sum(1) > 0
    assert moved.nonzero().flatten().tolist() == [3]
    step = 0.5 * table.grad[3] / table.grad[3].square().mean().sqrt()  # one accumulator a row
    torch.testing.assert_close(table[3], before[3] - step)


SECOND_ORDER = {"soap": SOAP, "shampoo": ScalableShampoo}


@pytest.mark.parametrize("name", ["soap", "shampoo"])
def test_a_second_order_optimizer_has_the_dense_matrices_and_no_more(name: Literal["soap", "shampoo"]) -> None:
    model = network()
    config = TrainingConfig(optimizer=name, learning_rate=0.3, weight_decay=0.1)
    matrices, vectors, tables = build_optimizers(model, config)
    assert isinstance(matrices, SECOND_ORDER[name])
    assert isinstance(vectors, AdamW) and isinstance(tables, RowWiseAdagrad)
    owned = [[part for group in each.param_groups for part in group["params"]] for each in (matrices, vectors, tables)]
    assert all(part.ndim >= 2 for part in owned[0]) and all(part.ndim < 2 for part in owned[1])
    assert {id(part) for part in owned[0] + owned[1]} == {id(part) for part in dense_parameters(model)}
    assert {id(part) for part in owned[2]} == {id(part) for part in table_parameters(model)}
    (group,) = matrices.param_groups
    assert (group["lr"], group["weight_decay"]) == (0.3, 0.1)
    assert vectors.param_groups[0]["weight_decay"] == 0


@pytest.mark.parametrize("name", ["soap", "shampoo"])
def test_its_steps_are_the_library_s_own(name: Literal["soap", "shampoo"]) -> None:
    """On one matrix, past two decompositions."""
    first = nn.Linear(5, 3, bias=False)
    second = copy.deepcopy(first)
    config = TrainingConfig(optimizer=name, learning_rate=0.02, weight_decay=0.1, precondition_every=3)
    ours = build_optimizers(first, config)
    library = (
        SOAP(second.parameters(), lr=0.02, weight_decay=0.1, precondition_frequency=3)
        if name == "soap"
        else ScalableShampoo(
            second.parameters(),
            lr=0.02,
            weight_decay=0.1,
            decoupled_weight_decay=True,
            moving_average_for_momentum=True,
            nesterov=False,
            graft_type=3,  # RMSProp
            start_preconditioning_step=3,
            preconditioning_compute_steps=3,
        )
    )
    generator = torch.Generator().manual_seed(0)
    before = first.weight.detach().clone()
    for _ in range(8):
        gradient = torch.randn(3, 5, generator=generator)
        first.weight.grad, second.weight.grad = gradient.clone(), gradient.clone()
        for optimizer in (*ours, library):
            optimizer.step()
        assert torch.equal(first.weight, second.weight)
    assert (first.weight - before).abs().min() > 0


@pytest.mark.parametrize("name", ["soap", "shampoo"])
def test_it_trains_on_badly_scaled_inputs(name: Literal["soap", "shampoo"]) -> None:
    """Least squares; the variances of the inputs differ a thousandfold, in directions that are no axes."""
    generator = torch.Generator().manual_seed(1)
    turn, _ = torch.linalg.qr(torch.randn(6, 6, generator=generator))
    inputs = torch.randn(200, 6, generator=generator) * torch.logspace(0, -1.5, 6) @ turn
    wanted = inputs @ torch.randn(6, 4, generator=generator)

    def loss_after(model: nn.Linear, config: TrainingConfig) -> float:
        optimizers = build_optimizers(model, config)
        for _ in range(200):
            model.weight.grad = None
            loss = (model(inputs) - wanted).square().mean()
            loss.backward()
            for optimizer in optimizers:
                optimizer.step()
        return float(loss.detach())

    torch.manual_seed(0)
    model = nn.Linear(6, 4, bias=False)
    start = (model(inputs) - wanted).square().mean().item()
    config = TrainingConfig(optimizer=name, learning_rate=3e-2, weight_decay=0.0, precondition_every=5)
    assert loss_after(copy.deepcopy(model), config) < 0.01 * start
