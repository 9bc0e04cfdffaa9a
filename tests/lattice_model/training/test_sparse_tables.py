"""Gradients of tables that name their rows, against TorchRec's optimizer on whole ones."""

import copy

import pytest
import torch
from torchrec.modules.embedding_modules import EmbeddingBagCollection, EmbeddingCollection
from torchrec.optim.rowwise_adagrad import RowWiseAdagrad

from lattice_model.training.config import TrainingConfig
from lattice_model.training.optimizers import table_parameters
from lattice_model.training.sparse_tables import SHARE, SparseRowWiseAdagrad, name_rows
from lattice_model.training.step import Step
from tests.lattice_model.factories import make_batch
from tests.lattice_model.training.runs import MANIFEST, network


def sparse(model: torch.nn.Module) -> dict[str, bool]:
    """Of each table, whether its gradient names its rows."""
    found: dict[str, bool] = {}
    for module in model.modules():
        if isinstance(module, EmbeddingBagCollection):
            found |= {f"bag {name}": bag.sparse for name, bag in module.embedding_bags.items()}
        elif isinstance(module, EmbeddingCollection):
            found |= {f"event {name}": table.sparse for name, table in module.embeddings.items()}
    return found


def test_a_table_with_many_more_rows_than_look_ups_names_them() -> None:
    model = network()
    batch_size = 5
    name_rows(model, model.config.inputs, batch_size)
    sizes = {part.id_space: part.size for part in MANIFEST.categorical}
    features = [part.id_space for part in MANIFEST.categorical]
    wanted = {f"bag {name}": batch_size * features.count(name) < SHARE * size for name, size in sizes.items()}
    for sequence in MANIFEST.sequences:
        spaces = [part.id_space for part in sequence.ids]
        for part in sequence.ids:
            looked_up = batch_size * sequence.length * spaces.count(part.id_space)
            wanted[f"event {part.id_space}"] = looked_up < SHARE * part.size
    assert sparse(model) == wanted
    assert set(wanted.values()) == {True, False}
    name_rows(model, model.config.inputs, batch_size=10_000)
    assert not any(sparse(model).values())


@pytest.mark.parametrize("accumulated", [1, 2])
def test_the_result_is_that_of_whole_gradients(accumulated: int) -> None:
    first = network()
    name_rows(first, first.config.inputs, batch_size=1)
    second = copy.deepcopy(first)
    name_rows(second, second.config.inputs, batch_size=10_000)
    ours, theirs = (
        SparseRowWiseAdagrad(table_parameters(first), lr=0.1),
        RowWiseAdagrad(table_parameters(second), lr=0.1),
    )
    for number in range(3):
        for model, optimizer in ((first.eval(), ours), (second.eval(), theirs)):
            for part in range(accumulated):
                model(make_batch(MANIFEST, 48, 10 * number + part)).square().sum().backward()
            optimizer.step()
            model.zero_grad()
    assert any(sparse(first).values())
    for mine, other in zip(table_parameters(first), table_parameters(second), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(ours.state[mine], theirs.state[other], rtol=1e-4, atol=1e-6)


def test_a_row_that_is_not_looked_up_stays_with_its_state() -> None:
    model = network()
    name_rows(model, model.config.inputs, batch_size=1)
    (bag,) = [module for module in model.modules() if isinstance(module, EmbeddingBagCollection)]
    table = next(
        bag.embedding_bags[name[4:]].weight for name, named in sparse(model).items() if named and name[0] == "b"
    )
    before = table.detach().clone()
    optimizer = SparseRowWiseAdagrad(table_parameters(model), lr=0.1)
    model(make_batch(MANIFEST, 4, 1)).square().sum().backward()
    assert table.grad is not None
    looked_up = set(table.grad.coalesce().indices()[0].tolist())
    optimizer.step()
    moved = set((table != before).any(dim=1).nonzero().flatten().tolist())
    assert 0 < len(moved) < len(before)
    assert moved <= looked_up
    assert set(optimizer.state[table]["sum"].flatten().nonzero().flatten().tolist()) == moved


@pytest.mark.parametrize("balanced", [False, True])
def test_metabalance_keeps_whole_gradients(balanced: bool) -> None:
    model = network()
    objective = MANIFEST.objectives[0].name
    config = TrainingConfig(batch_size=1, metabalance=objective if balanced else None)
    Step(model, config, steps=1, device=torch.device("cpu"))
    assert any(sparse(model).values()) is not balanced
