"""Embedding tables: sharing, absence, domains and dropout of ids."""

import pytest
import torch
from torchrec.sparse.jagged_tensor import KeyedJaggedTensor

from lattice_model.network.categorical import CategoricalProcessor
from schemas.manifest import CategoricalInput
from tests.lattice_model.factories import keyed_ids

DOMAINS = ("web", "app")
FEATURES = (
    CategoricalInput(name="seen", column="seen", id_space="item", size=10, domains=DOMAINS),
    CategoricalInput(name="user", column="user", id_space="user", size=7, domains=("app",)),
    CategoricalInput(name="bought", column="bought", id_space="item", size=10, domains=DOMAINS),
)
TOKENS = {"seen": 0, "bought": 1, "user": 2}


def processor(**id_dropout: float) -> CategoricalProcessor:
    torch.manual_seed(0)
    return CategoricalProcessor(features=FEATURES, domains=DOMAINS, dim=4, id_dropout=id_dropout)


def ids(*rows: tuple[int, int, int]) -> KeyedJaggedTensor:
    return keyed_ids(["seen", "user", "bought"], torch.tensor(rows))


def test_tokens_are_rows_of_the_table_of_their_id_space() -> None:
    network = processor()
    out = network(ids((3, 5, 9), (9, 6, 3)), torch.tensor([1, 1]))
    item, user = (network.tables.embedding_bags[name].weight for name in ("item", "user"))
    assert len(network.tables.embedding_bags) == 2
    torch.testing.assert_close(out[0], torch.stack([item[3], item[9], user[5]]))
    torch.testing.assert_close(out[1], torch.stack([item[9], item[3], user[6]]))


def test_an_absent_id_is_zero() -> None:
    out = processor()(ids((0, 5, 9)), torch.tensor([1]))
    assert (out[0, TOKENS["seen"]] == 0).all()
    assert (out[0, TOKENS["user"]] != 0).all()


def test_a_domain_that_lacks_a_feature_sees_nothing_of_it() -> None:
    out = processor()(ids((3, 5, 9), (3, 5, 9)), torch.tensor([0, 1]))
    assert (out[0, TOKENS["user"]] == 0).all()
    assert (out[1, TOKENS["user"]] != 0).all()
    torch.testing.assert_close(out[0, :2], out[1, :2])


def test_id_dropout_strikes_the_named_feature_in_training_at_its_rate() -> None:
    network = processor(bought=0.3)
    many, domains = ids(*[(3, 5, 9)] * 4000), torch.ones(4000, dtype=torch.int64)
    out = network(many, domains)
    dropped = (out == 0).all(-1).float().mean(0)
    assert dropped[TOKENS["bought"]].item() == pytest.approx(0.3, abs=0.03)
    assert dropped[TOKENS["seen"]] == dropped[TOKENS["user"]] == 0
    kept = out[:, TOKENS["bought"]].abs().sum(-1) > 0
    item = network.tables.embedding_bags["item"].weight
    torch.testing.assert_close(out[kept, TOKENS["bought"]], item[9].expand(int(kept.sum()), -1))
    assert (network.eval()(many, domains)[:, TOKENS["bought"]] != 0).all()
