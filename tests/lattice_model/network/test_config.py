"""The configuration: from a manifest, to JSON and back, and what it refuses."""

import pytest
from pydantic import ValidationError

from lattice_model.network.config import Hyperparameters, LatticeConfig
from lattice_model.network.inputs import inputs_from
from schemas.errors import LatticeError
from tests.lattice_model.factories import make_manifest


def test_heads_follow_the_manifest_and_know_their_label_and_window() -> None:
    manifest = make_manifest()
    heads = inputs_from(manifest, "test").heads
    assert tuple((head.objective, head.window) for head in heads) == manifest.heads()
    assert [(head.objective_index, head.window_index) for head in heads] == [
        (0, -1),
        *((1, window) for window in range(3)),
        *((2, window) for window in range(3)),
    ]


def test_an_objective_with_a_subset_of_the_windows_points_at_the_groups_windows() -> None:
    manifest = make_manifest()
    click, buy, redeem = manifest.objectives
    part = manifest.model_copy(
        update={"objectives": (click, buy.model_copy(update={"windows": ("7d", "28d")}), redeem)}
    )
    assert [head.window_index for head in inputs_from(part, "test").heads] == [-1, 1, 2, 0, 1, 2]


def test_survives_json() -> None:
    config = LatticeConfig.from_manifest(
        make_manifest(), "validation", Hyperparameters(dim=8, dense_tokens=None, id_dropout={"id_0": 0.2}), (0.1,) * 7
    )
    assert LatticeConfig.model_validate_json(config.model_dump_json()) == config


def test_a_split_without_normalisers_is_refused() -> None:
    manifest = make_manifest()
    part = manifest.model_copy(update={"normalisers": {"test": manifest.normalisers["test"]}})
    with pytest.raises(LatticeError, match=r"number_0.*'validation'"):
        inputs_from(part, "validation")


def test_wrong_hyperparameters_are_refused() -> None:
    with pytest.raises(LatticeError, match="dim"):
        Hyperparameters(dim=12, attention_heads=4)
    with pytest.raises(LatticeError, match="household"):
        LatticeConfig.from_manifest(make_manifest(), "test", Hyperparameters(id_dropout={"household": 0.5}))
    with pytest.raises(ValidationError, match="depth"):
        Hyperparameters.model_validate({"depth": 3})


def test_an_id_space_of_two_sizes_or_too_few_base_rates_are_refused() -> None:
    manifest = make_manifest()
    first, second, *rest = manifest.categorical
    part = manifest.model_copy(update={"categorical": (first.model_copy(update={"size": 9}), second, *rest)})
    with pytest.raises(ValidationError, match=r"item_0.*two sizes"):
        inputs_from(part, "test")
    with pytest.raises(ValidationError, match="2 base rates for 7 heads"):
        LatticeConfig.from_manifest(manifest, "test", None, (0.1, 0.2))
