"""Operations and parameters against counts by hand."""

from typing import Any

import pytest

from lattice_model.baselines.apg import APGHyperparameters
from lattice_model.baselines.autoint import AutoIntHyperparameters
from lattice_model.baselines.bst import BSTHyperparameters
from lattice_model.baselines.dlrm import DLRMHyperparameters
from lattice_model.flops import ModuleCost, measure
from lattice_model.models import configure
from lattice_model.network.config import Hyperparameters
from tests.lattice_model.factories import make_manifest

MANIFEST = make_manifest(domains=("one",), categorical=3, dense=6, sequences=0, table_size=50)
"""Three ids, of which two share a table of 50 and one has 51 rows; seven heads."""


def parts(cost: tuple[ModuleCost, ...]) -> dict[str, tuple[Any, int, int]]:
    """Operations a row and parameters, as whole numbers."""
    return {
        part.module: (
            pytest.approx(part.mflops * 1e6), round(part.dense_mparams * 1e6), round(part.embedding_mparams * 1e6)
        )
        for part in cost
    }  # fmt: skip


def test_dlrm_by_hand() -> None:
    hyper = DLRMHyperparameters(
        dim=4, dense_width=5, dense_tokens=2, task_width=3, bottom_widths=(8,), top_widths=(10,)
    )
    cost = measure(configure(hyper, MANIFEST, "test"), rows=16)
    found = parts(cost.modules)
    dense = 2 * (6 * 4 * 5) + 2 * (6 * 5) * (2 * 4)  # each feature's 4 inputs to 5 units; those to 2 tokens of 4
    bottom = 2 * (3 * 4 * 8 + 8 * 4)  # 2 dense tokens and the domain's
    interaction = 2 * 4 * 4 * 4  # all 16 dot products of four vectors of 4, though 6 are kept
    top = 2 * (4 + 6) * 10
    tasks = 2 * 10 * (7 * 3)  # the outputs of the heads are element-wise products
    assert found["preprocessor.dense"] == (dense, 6 * 4 * 5 + 30 * 8, 0)
    assert found["preprocessor.categorical"] == (0, 0, (50 + 51) * 4)
    assert found["preprocessor.mixing"] == (0, 4 + 6 * 4, 0)  # the domain's token, a scale for each of six tokens
    assert found["bottom"] == (bottom, 12 * 8 + 8 + 8 * 4 + 4, 0)
    assert found["interaction"] == (interaction, 0, 0)
    assert found["top"] == (top, 10 * 10 + 10, 0)
    assert found["tasks"] == (tasks, 10 * 21 + 21 + 21 + 7, 0)
    assert parts((cost.total,))["dlrm"][0] == dense + bottom + interaction + top + tasks
    assert "(itself)" not in found


def test_attention_and_its_projections_by_hand() -> None:
    hyper = AutoIntHyperparameters(dim=4, dense_tokens=2, layers=1, width=6, heads=2, deep_widths=(5,))
    cost = measure(configure(hyper, MANIFEST, "test"), rows=16)
    projections, attention = 2 * 4 * (6 * 4 * 6), 2 * 2 * (6 * 6 * 6)  # six tokens; scores, then their sums of values
    assert parts(cost.modules)["interacting.0"] == (projections + attention, 4 * 4 * 6, 0)


def test_the_model_s_own_operations_are_a_row_of_the_table() -> None:
    """So that the sum over modules is the whole, of BST too, which makes its targets by itself."""
    for hyper in (Hyperparameters(), APGHyperparameters(), BSTHyperparameters()):
        cost = measure(configure(hyper, make_manifest(), "test"), rows=8)
        outer = [part for part in cost.modules if "." not in part.module]
        assert sum(part.mflops for part in outer) == pytest.approx(cost.total.mflops)
        assert sum(part.dense_mparams for part in outer) == pytest.approx(cost.total.dense_mparams)
        assert sum(part.embedding_mparams for part in outer) == pytest.approx(cost.total.embedding_mparams)
