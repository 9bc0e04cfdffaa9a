"""Which optimizer moves which parameter."""

import torch
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
