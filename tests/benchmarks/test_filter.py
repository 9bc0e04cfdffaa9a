"""The comparison of ways to choose features, on pools so small that the answer is known."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import yaml

from benchmarks.filter.__main__ import pool
from benchmarks.filter.grid import Grid, Trainings
from benchmarks.filter.measured import Measured, measure
from benchmarks.filter.page import Chosen, Filtered, draw, page
from benchmarks.filter.pool import HORIZONS, pool_features, pool_space
from benchmarks.filter.taylor import taylor_importance
from benchmarks.filter.ways import BASELINE, PARETO, RANDOM, WAYS
from benchmarks.models.cell import Runner
from benchmarks.models.rows import Part, Source
from benchmarks.models.standing import Standing, standing
from benchmarks.models.store import Store
from benchmarks.quality_result import Machine
from lattice_model.importance.config import ImportanceConfig
from lattice_model.loader import Loader
from schemas.errors import LatticeError
from schemas.narrowing import candidates
from schemas.space_file import load_space, shipped_spaces
from tests import spaces
from tests.benchmarks.small_tables import ROWS, make_source
from tests.lattice_model.importance.test_engine import made


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Source:
    return make_source(tmp_path_factory.mktemp("rows"))


def test_a_pool_is_a_product_of_what_the_space_declares(tmp_path: Path) -> None:
    space = load_space("complete_journey")
    histories, ratios = pool_features(space)
    # Keys: nine of users (none, the id, seven attributes) by three of items, but none at all; trips have no items.
    assert len(histories) == 26 + 8 + 26
    assert histories["purchases_user_id_department"]["keys"] == ["user_id", "category.department"]
    assert ratios["purchases_item_id_spend_per_quantity_28d"] == {
        "numerator": "purchases_item_id_spend_28d", "denominator": "purchases_item_id_quantity_28d",
    }  # fmt: skip
    content = yaml.safe_load(shipped_spaces()["complete_journey"].read_text())
    path = tmp_path / "pool.yaml"
    path.write_text(yaml.safe_dump(pool_space(content, space, {"coupon": 0.1, "display": 0.1, "mailer": 0.1})))
    numbers = (26 + 8) * (len(HORIZONS) * 5 + 2) + 26 * (len(HORIZONS) + 2)
    declared = len(space.features.dense) + len(space.features.categorical) + len(space.features.sequence)
    assert len(candidates(load_space(path))) == numbers + len(ratios) + declared > 2000


@pytest.mark.parametrize("name", ["ratings", "video", "uneven", "installs"])
def test_a_pool_comes_of_any_space(name: str, tmp_path: Path) -> None:
    source = Path(spaces.__file__).parent / f"{name}.yaml"
    content = yaml.safe_load(source.read_text())
    space = load_space(source)
    path = tmp_path / "pool.yaml"
    path.write_text(yaml.safe_dump(pool_space(content, space, {})))
    histories, ratios = pool_features(space)
    assert len(histories) >= len(space.events)
    assert {*histories, *ratios} <= {*load_space(path).features.history, *load_space(path).features.ratio}


def test_a_rate_that_makes_no_sense_is_answered(tmp_path: Path) -> None:
    for text in ("coupon=2", "coupon=some", "nowhere=0.5", "coupon"):
        with pytest.raises(LatticeError, match="--rate"):
            pool(rate=[text], out=tmp_path / "pool.yaml")
    assert not (tmp_path / "pool.yaml").exists()
    pool(rate=["coupon=0.5"], out=tmp_path / "pool.yaml")
    assert load_space(tmp_path / "pool.yaml").samples["pool"].rates == {"coupon": 0.5}


def made_up() -> Measured:
    """Four features, two tasks; the second task's rows weigh little in the loss."""
    return Measured(
        features=np.array(["a", "b", "c", "d"]),
        tasks=np.array(["web/click", "web/buy"]),
        importance_FN=np.array([[0.3, 0.0], [0.2, 0.01], [0.0, 0.4], [0.1, 0.0]]),
        standard_errors_FN=np.full((4, 2), 0.06),
        loss_N=np.array([100.0, 1.0]),
        positives_N=np.array([50.0, 5.0]),
        taylor_F=np.array([0.0, 1.0, 3.0, 2.0]),
        gain_F=np.array([0.1, 0.0, 0.2, 0.5]),
        rows=np.array(1000),
    )


def test_ways_choose_what_they_say() -> None:
    known = made_up()
    chosen = {
        way: {known.features[feature] for feature in choose(known, 2, 1).tolist()} for way, choose in WAYS.items()
    }
    # The frontiers are a, b, c and then d.
    assert chosen["Pareto, filled by importance"] == {"a", "c"} and chosen[PARETO] < {"a", "b", "c"}
    assert chosen[BASELINE] == chosen["one task"] == {"a", "b"}
    assert chosen["mean of tasks"] == {"a", "c"}
    assert chosen["SHARK"] == {"c", "d"} == chosen["LightGBM's gain"]
    noise = {known.features[feature] for feature in WAYS["Pareto of what is above noise"](known, 4, 1).tolist()}
    assert noise == {"a", "b", "c"}  # d is worth less than twice its error
    for choose in WAYS.values():
        assert len(set(choose(known, 3, 2).tolist())) == 3
    assert {tuple(WAYS[RANDOM](known, 2, seed).tolist()) for seed in range(20)} > {(0, 1), (3, 2)}


def test_the_taylor_expansion_is_the_slope_towards_the_mean(source: Source) -> None:
    manifest = source.manifest
    network = made("lattice", manifest)
    loader = Loader(source.files("evaluation", Part()), manifest, batch_size=64, shuffle=False)
    batches = [loaded.batch for _, loaded in zip(range(3), loader.epoch(), strict=False)]
    found = taylor_importance(network, batches, manifest)
    assert set(found) == set(manifest.features()) - {part.name for part in manifest.sequences}
    # By differences: a little way towards the mean of a number's inputs, row by row.
    scaler = network.get_submodule("preprocessor.dense.scaler")
    oracle = list(manifest.oracle_heads())
    with torch.no_grad():
        mean_F1I = torch.cat([scaler(batch.dense_BF) for batch in batches], dim=1).mean(1, keepdim=True)

    def losses(step: float, feature: int, batch_number: int) -> torch.Tensor:
        batch = batches[batch_number]

        def towards(_: object, __: object, inputs_FBI: torch.Tensor) -> torch.Tensor:
            moved = inputs_FBI.clone()
            moved[feature] += step * (mean_F1I[feature] - inputs_FBI[feature])
            return moved

        with scaler.register_forward_hook(towards), torch.no_grad():
            logits_BO = network(batch)[:, oracle].double()
        labels_BO = batch.labels_BO.double()
        each_BO = F.binary_cross_entropy_with_logits(logits_BO, labels_BO.nan_to_num(0.0), reduction="none")
        return (each_BO * ~labels_BO.isnan()).sum(1)

    rows = sum(batch.size for batch in batches)
    for feature, part in enumerate(manifest.dense[:3]):
        slopes = [(losses(0.02, feature, n) - losses(-0.02, feature, n)) / 0.04 for n in range(len(batches))]
        assert found[part.name] == pytest.approx(float(torch.cat(slopes).abs().sum()) / rows, rel=0.02, abs=1e-6)


def test_a_pool_is_measured_chosen_from_and_trained(source: Source, tmp_path: Path) -> None:
    manifest, runner, store = source.manifest, Runner(source, ("id_0",)), Store(tmp_path)
    trainings = Trainings(manifest=manifest, users=("id_0",), rows=ROWS, code="c")
    config = ImportanceConfig(repeats=1, negligible=0.0)
    known = measure(trainings.cell(None, "validation", 1), runner, source, 200, config)
    known.save(tmp_path / "known.npz")
    again = Measured.load(tmp_path / "known.npz")
    np.testing.assert_array_equal(again.importance_FN, known.importance_FN)
    assert set(known.features) == set(manifest.features()) - {part.name for part in manifest.sequences}
    assert known.importance_FN.shape == (len(known.features), len(known.tasks)) and known.importance_FN.any()
    assert known.taylor_F.min() >= 0 and known.gain_F.sum() > 0
    grid = Grid(trainings=trainings, known=known, targets=[2, 4], seeds=2)
    cells = dict(grid.cells())
    assert len(cells) == 2 * (1 + 2 * len(WAYS))
    few, every = cells[f"2 by {BASELINE}, seed 1"], cells["all features, seed 1"]
    names = grid.chosen(BASELINE, 2, 1) | {"events_0"}
    assert few.of(manifest).features() == tuple(name for name in manifest.features() if name in names)
    assert len(names) == 3 and every.of(manifest) == manifest
    assert grid.of(BASELINE, 2)[0] == [few] and grid.everything()[0] == [every]
    for one in (every, few):
        store.add(runner.run(one))
    everything, less = (standing(name, [[one]], store) for name, one in (("all", every), ("few", few)))
    assert everything is not None and less is not None
    worse = worse_by(1.1, everything)
    result = Filtered(
        command="c", machine=Machine.here(), space="s", sample="few", rates={"web": 0.25}, fingerprint="f",
        candidates=9, useful=3, tasks=("web/click",), sizes=(4, 2, 1, 1, 1, 1), training_rows=300,
        permuted_rows=200, seeds=1,
        everything=everything,
        chosen=(
            Chosen(way=BASELINE, target=2, features=2, common=1, standing=worse),
            Chosen(way=PARETO, target=2, features=2, common=2, standing=less),
        ),
    )  # fmt: skip
    text = page(result, "image.png")
    line = next(line for line in text.splitlines() if line.startswith(f"| {BASELINE} | 2 | 1 |"))
    assert line.count("+10.00%") == 2 + len(everything.portfolios)
    assert "4, 2, 1, 1, 1, ..." in text and "sample `few` (web 0.25 of the impressions)" in text
    draw(result, tmp_path / "image.png")
    assert (tmp_path / "image.png").stat().st_size > 10_000


def worse_by(factor: float, one: Standing) -> Standing:
    return one.model_copy(
        update={
            "mean_normalized_entropy": one.mean_normalized_entropy * factor,
            "portfolios": tuple(
                part.model_copy(update={"normalized_entropy": (part.normalized_entropy or 0) * factor})
                for part in one.portfolios
            ),
        }
    )
