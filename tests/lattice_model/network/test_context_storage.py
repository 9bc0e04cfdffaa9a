"""Extended Context Storage, and which Fusion Block reads what."""

import pytest
import torch

from lattice_model.network.backbone import Backbone
from lattice_model.network.config import Hyperparameters
from lattice_model.network.context_storage import ExtendedContextStorage


def test_what_was_written_is_read_in_the_order_asked_for() -> None:
    store = ExtendedContextStorage()
    first, second = torch.zeros(1), torch.ones(1)
    assert store.write("first", first) is first
    store.write("second", second)
    assert [id(value) for value in store.read(["second", "first"])] == [id(second), id(first)]


def test_a_name_is_written_once() -> None:
    store = ExtendedContextStorage()
    store.write("first", torch.zeros(1))
    with pytest.raises(KeyError, match="first"):
        store.write("first", torch.ones(1))


def test_dense_residuals_read_the_inputs_of_all_earlier_fusion_blocks() -> None:
    hyper = Hyperparameters(dim=4, layers=3)
    backbone = Backbone(tokens=5, sequence_tokens=2, hyper=hyper)
    assert backbone.reads == [
        ["layer_0.sequence"],
        ["layer_1.sequence", "mixing"],
        ["layer_2.sequence", "mixing", "layer_0.fusion"],
    ]
    plain = Backbone(tokens=5, sequence_tokens=2, hyper=hyper.model_copy(update={"dense_residuals": False}))
    assert plain.reads == [[f"layer_{layer}.sequence"] for layer in range(3)]
    o_s, o_cd = torch.randn(3, 2, 4), torch.randn(3, 5, 4)
    assert backbone(o_s, o_cd).shape == plain(o_s, o_cd).shape == (3, 16, 4)


def test_a_layer_is_a_transformer_block_then_a_fusion_block() -> None:
    torch.manual_seed(0)
    backbone = Backbone(tokens=5, sequence_tokens=2, hyper=Hyperparameters(dim=4, layers=2, dropout=0.0))
    o_s, mixing = torch.randn(3, 2, 4), torch.randn(3, 5, 4)
    first_s = backbone.transformers[0](o_s, mixing)
    first_cd = backbone.fusions[0](mixing, [first_s])
    second_s = backbone.transformers[1](first_s, first_cd)
    torch.testing.assert_close(backbone(o_s, mixing), backbone.fusions[1](first_cd, [second_s, mixing]))
