"""``lattice flops`` on inputs that a file lays out: the models that the paper describes for KuaiVideo."""

from pathlib import Path

import pytest
import yaml

from jobs.flops import read_inputs
from jobs.model_config import ModelConfig
from lattice_model.flops import measure
from lattice_model.network.config import LatticeConfig
from lattice_model.network.inputs import Inputs
from schemas.errors import LatticeError

CONFIGS = Path(__file__).parents[2] / "lattice_model" / "configs"
TRAINING = 3
"""A training step's operations in those of a forward pass: the backward pass has twice as many."""


def kuaivideo() -> Inputs:
    """The layout with small tables: looking up costs no operations."""
    path = CONFIGS / "kuaivideo_inputs.yaml"
    content = yaml.safe_load(path.read_text())
    for part in [*content["categorical"], *(part for sequence in content["sequences"] for part in sequence["ids"])]:
        part["size"] = 10
    full, small = read_inputs(path), Inputs.model_validate(content)
    assert [part.name for part in full.sequences] == ["pos_items", "neg_items", "pos_items_emb", "neg_items_emb"]
    assert {part.length for part in full.sequences} == {100}
    return small


def fusion(tokens: int, out: int, rank: int, width: int, fmb: int, lcb: int) -> int:
    """A Fusion Block by hand, without its residual: products, MLP, weighted sums; every token has 64 numbers."""
    products, mlp = 2 * (2 * 64 * tokens * rank), 2 * (tokens * rank * width + width * fmb * 64)
    assert out == fmb + lcb
    return products + mlp + 2 * lcb * tokens * 64


def transformer(tokens: int) -> int:
    """A Transformer Block by hand: four projections, scores and sums of values, and a feed-forward network of 64."""
    return 2 * (4 * 64 * 64) * tokens + 2 * 2 * tokens * tokens * 64 + 2 * 2 * 64 * 64 * tokens


@pytest.mark.parametrize(
    ("name", "by_hand"),
    [
        # Four tokens of sequences; three of ids and the domain's; the residual of the first block sums four to seven.
        ("sketch", transformer(4) + fusion(8, 7, 4, 512, 4, 3) + 2 * 7 * 4 * 64),
        (
            "expert",
            2 * transformer(4)
            + (fusion(8, 7, 16, 256, 1, 6) + 2 * 7 * 4 * 64)
            + 2 * fusion(7, 7, 16, 256, 1, 6)
            + fusion(7 + 4 + 4, 7, 16, 256, 1, 6),
        ),
    ],
)
def test_kuaivideo_s_networks_by_hand(name: str, by_hand: int) -> None:
    hyper = ModelConfig.read(CONFIGS / f"kuaivideo_{name}.yaml").network
    cost = measure(LatticeConfig(inputs=kuaivideo(), hyper=hyper), rows=8)
    heads = 2 * 7 * 64 * 3 * 8  # what is looked up, the domain's token too, costs nothing
    counted = {part.module: part.mflops * 1e6 for part in cost.modules}
    assert counted["backbone"] == pytest.approx(by_hand)
    assert counted["tasks"] == pytest.approx(heads)
    if name == "sketch":
        assert TRAINING * cost.total.mflops == pytest.approx(1.575, rel=0.1)


def test_inputs_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    path = tmp_path / "inputs.yaml"
    with pytest.raises(LatticeError, match="cannot be read"):
        read_inputs(path)
    path.write_text("domains: [video]\n")
    with pytest.raises(LatticeError, match=r"inputs.yaml, categorical[\s\S]*kuaivideo_inputs"):
        read_inputs(path)
