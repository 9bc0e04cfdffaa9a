"""The comparison of models on tables so small that the answer is known."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from benchmarks.ablation import NETWORK as NETWORK_CHANGES
from benchmarks.ablation import Ablated, supervision
from benchmarks.ablation import draw as draw_ablation
from benchmarks.ablation import page as ablation_page
from benchmarks.models.cell import BOOTSTRAP_SEED, LIGHTGBM, Cell, Found, Outcome, Runner
from benchmarks.models.filling import fill
from benchmarks.models.grid import Grid
from benchmarks.models.page import Compared, Stage, Tuned, draw, page
from benchmarks.models.rows import Part, Source, parts_by_domain, parts_by_portfolio
from benchmarks.models.standing import difference, standing
from benchmarks.models.store import Store
from benchmarks.models.systems import BY_DOMAIN, BY_PORTFOLIO, LATTICE, System, systems
from benchmarks.models.tuning import NETWORK, NETWORK_START, propose, score
from benchmarks.quality_result import Machine
from jobs.model_config import ModelConfig
from lattice_model.evaluation import bootstrap
from lattice_model.evaluation.comparison import compare, replicated
from lattice_model.evaluation.evaluate import evaluate
from lattice_model.evaluation.predictions import Predictions
from lattice_model.loader import Loader
from lattice_model.models import configure
from lattice_model.network.config import Hyperparameters
from schemas.manifest import TrainingManifest
from tests.benchmarks.small_tables import ROWS, make_source
from tests.lattice_model.evaluation.made_up import made_up, noisy
from tests.lattice_model.factories import make_manifest
from tests.lattice_model.tables import make_table


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Source:
    return make_source(tmp_path_factory.mktemp("rows"))


def grid(manifest: TrainingManifest, chosen: tuple[System, ...], outcomes: dict[str, Outcome], trials: int = 2) -> Grid:
    return Grid(
        systems=chosen,
        manifest=manifest,
        users=("id_0",),
        rows=300,
        trials=trials,
        seeds=1,
        code="c",
        outcomes=outcomes,
    )


def test_a_part_has_the_features_and_objectives_of_its_domain() -> None:
    manifest = make_manifest(domains=("web", "app"))
    web, app = (part.of(manifest) for part in parts_by_domain(manifest))
    assert [len(web.categorical), len(app.categorical)] == [4, 5]
    assert [len(web.dense), len(app.dense)] == [5, 6]
    assert [[o.name for o in part.objectives] for part in (web, app)] == [["click", "buy"], ["click", "buy", "redeem"]]
    portfolios = parts_by_portfolio(manifest)
    assert [str(part) for part in portfolios] == ["web/click", "app/click", "web/buy", "app/buy", "app/redeem"]
    assert portfolios[2].of(manifest).heads() == (("buy", "1d"), ("buy", "7d"), ("buy", "28d"))
    assert Part().of(manifest) == manifest


def test_rows_are_a_fixed_choice_that_grows(source: Source) -> None:
    def ids(rows: int | None, part: Part) -> set[int]:
        files = source.files("training", part, rows)
        return {number for file in files for number in pq.read_table(file)["impression_id"].to_pylist()}

    few, more, every = (ids(rows, Part()) for rows in (100, 300, None))
    assert [len(few), len(more), len(every)] == [100, 300, ROWS]
    assert few < more < every
    web, app = (ids(300, part) for part in parts_by_domain(source.manifest))
    assert web | app == more and not web & app
    assert len(ids(10 * ROWS, Part())) == ROWS
    domain = make_table(source.manifest, ROWS)["domain_index"].to_numpy()
    assert web == {i for i in more if domain[i] == 0}


def test_results_may_be_kept_in_a_folder_beside(
    source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    beside = Source(manifest=source.manifest, folder=Path("kept"))
    loader = Loader(beside.files("training", Part(), 100), source.manifest, batch_size=60)
    assert sum(loaded.batch.size for loaded in loader.epoch()) == 100


def test_proposals_depend_on_what_was_told_alone() -> None:
    told: list[tuple[dict[str, object], float]] = [(NETWORK_START, 0.7)]
    for value in (0.6, 0.8, 0.65, 0.61):
        told.append((propose(NETWORK, told, 1), value))
        assert propose(NETWORK, told, 1) == propose(NETWORK, list(told), 1)
    assert len({str(params) for params, _ in told}) == len(told)
    assert propose(NETWORK, told, 1) != propose(NETWORK, told, 2)


def found(cell: Cell, normalized_entropy: float) -> Outcome:
    portfolios = evaluate(made_up(300), model="", split="test").slices[0].portfolios
    return Outcome(
        key=cell.key,
        cell=cell,
        portfolios=tuple(part.model_copy(update={"normalized_entropy": normalized_entropy}) for part in portfolios),
        trained_rows=300,
        seconds=1.0,
    )


def test_the_grid_chooses_by_validation_and_trains_that_again() -> None:
    manifest = make_manifest(domains=("web", "app"))
    chosen = tuple(system for system in systems(manifest) if system.name in ("dlrm", LATTICE, BY_DOMAIN))
    outcomes: dict[str, Outcome] = {}
    one = grid(manifest, chosen, outcomes, trials=3)
    titles, scores = [], iter([0.9, 0.5, 0.7] * 100)
    for title, cell in one.cells():
        titles.append(title)
        outcomes[cell.key] = found(cell, next(scores) if cell.split == "validation" else 0.1)
    assert titles[:4] == [
        "lattice, first settings, all", "dlrm, first settings, all",
        f"{BY_DOMAIN}, first settings, web", f"{BY_DOMAIN}, first settings, app",
    ]  # fmt: skip
    assert [title for title in titles if title.startswith("dlrm, trial")] == [
        f"dlrm, trial {n}, all" for n in (1, 2, 3)
    ]
    for system in chosen:
        for (part, params, best), cell in zip(one.tuned(system), one.chosen(system, 1, None), strict=True):
            validated = [o for o in outcomes.values() if o.cell.split == "validation" and o.cell.part == part]
            own = [o for o in validated if o.cell.kind == system.kind]
            assert best == min(score(outcome.portfolios) for outcome in own)
            assert cell.settings == system.settings(params, part.of(manifest), 1, ("id_0",))
            assert (cell.split, cell.rows) == ("test", None)
    assert list(one.cells()) == list(one.cells())
    assert one.best()[0].name == LATTICE


def test_without_trials_all_keep_their_first_settings() -> None:
    manifest = make_manifest(domains=("web", "app"))
    chosen = tuple(system for system in systems(manifest) if system.name in ("dlrm", BY_DOMAIN))
    one = grid(manifest, chosen, {}, trials=0)
    assert [cell for _, cell in one.cells()] == 2 * [cell for system in chosen for cell in one.first(system)]
    assert not one.best() and not one.tuned(chosen[0])


def test_a_failed_training_is_the_worst_of_all() -> None:
    assert (
        score(())
        > 1
        == score(
            found(Cell(part=Part(), kind="dlrm", settings={}, split="test", rows=1, data="", code=""), 1.0).portfolios
        )
    )


def test_what_a_kill_leaves_is_found_again(tmp_path: Path) -> None:
    first, second = (
        found(Cell(part=Part(), kind=kind, settings={}, split="test", rows=1, data="", code=""), 0.5)
        for kind in ("dlrm", "dcnv2")
    )
    arrays = {"auc": np.arange(6.0).reshape(2, 3)}
    store = Store(tmp_path)
    store.add(Found(first, arrays))
    with (tmp_path / "outcomes.jsonl").open("a") as file:
        file.write(second.model_dump_json()[:100])
    again = Store(tmp_path)
    assert again.outcomes == {first.key: first}
    again.add(Found(second, None))
    assert Store(tmp_path).outcomes == {first.key: first, second.key: second}
    np.testing.assert_array_equal(again.replicates(first.key)["auc"], arrays["auc"])


def test_two_processes_share_the_cells_of_a_folder(tmp_path: Path) -> None:
    cells = [
        Cell(part=Part(), kind=kind, settings={}, split="test", rows=1, data="", code="") for kind in ("dlrm", "dcnv2")
    ]
    ours, theirs = Store(tmp_path), Store(tmp_path)
    with theirs.claim(cells[0].key) as first, ours.claim(cells[0].key) as again, ours.claim(cells[1].key) as other:
        assert (first, again, other) == (True, False, True)
        theirs.add(Found(found(cells[0], 0.5), None))
    with ours.claim(cells[0].key) as known:
        assert not known
    assert ours.outcomes.keys() == {cells[0].key}


def test_a_grid_waits_for_what_another_process_runs(source: Source, tmp_path: Path) -> None:
    first = grid(source.manifest, tuple(s for s in systems(source.manifest) if s.name == "dlrm"), {}).cells()
    (_, theirs), (_, ours) = next(first), next(first)
    runner, store, other = Runner(source, ("id_0",)), Store(tmp_path), Store(tmp_path)
    asked = 0

    def cells() -> Iterator[tuple[str, Cell]]:
        nonlocal asked
        asked += 1
        yield from (("theirs", theirs), ("ours", ours))
        if asked == 1:  # the other process ends its cell after our first look at it
            other.add(Found(found(theirs, 0.5), None))
            claims.close()

    claims = ExitStack()
    assert claims.enter_context(other.claim(theirs.key))
    assert fill(cells, runner, store, minutes=30)
    assert asked == 2 and store.outcomes.keys() == {theirs.key, ours.key}
    assert store.outcomes[theirs.key].seconds != store.outcomes[ours.key].seconds


def kept(store: Store, kind: str, predictions: Predictions) -> Cell:
    """Predictions as a cell of the store."""
    cell = Cell(part=Part(), kind=kind, settings={}, split="test", rows=1, data="", code="")
    users_R = predictions.users()
    replicates = replicated(predictions, users_R, bootstrap.draw(int(users_R.max()) + 1, 100, BOOTSTRAP_SEED))
    portfolios = evaluate(predictions, model=kind, split="test").slices[0].portfolios
    outcome = Outcome(
        key=cell.key, cell=cell, portfolios=portfolios, trained_rows=600, seconds=1.0, rows_per_second=200.0, mflops=2.0
    )
    store.add(Found(outcome, replicates))
    return cell


def test_differences_are_those_of_the_comparison_of_two_models(tmp_path: Path) -> None:
    good = made_up(rows=6000)
    poor = noisy(good, 2.0, seed=5)
    store = Store(tmp_path)
    ours, theirs = kept(store, "dlrm", good), kept(store, "dcnv2", poor)
    expected = compare(("good", good), ("poor", poor), split="test", replicates=100, seed=BOOTSTRAP_SEED)
    behind = difference([[ours]], [[theirs]], store)
    assert behind is not None
    for found_interval, interval in (
        (behind.mean_auc, expected.mean_auc),
        (behind.mean_normalized_entropy, expected.mean_normalized_entropy),
        *zip(behind.auc.values(), (part.auc for part in expected.portfolios), strict=True),
    ):
        for end in ("estimate", "low", "high"):
            assert getattr(found_interval, end) == pytest.approx(getattr(interval, end), abs=1e-12)
    # Two seeds: the metrics' mean; the other model beside itself: no difference.
    both = standing("both", [[ours], [theirs]], store)
    assert both is not None and both.seeds == 2
    means = [evaluate(model, model="", split="test").slices[0].means.auc for model in (good, poor)]
    assert both.mean_auc == pytest.approx(np.mean([mean for mean in means if mean is not None]))
    same = difference([[ours], [theirs]], [[theirs], [ours]], store)
    assert same is not None
    assert (same.mean_auc.estimate, same.mean_auc.low, same.mean_auc.high) == pytest.approx((0, 0, 0), abs=1e-12)


def test_pages_show_what_is_known_and_no_more(tmp_path: Path) -> None:
    good = made_up(rows=6000)
    store = Store(tmp_path)
    ours, theirs = kept(store, "lattice", good), kept(store, "dcnv2", noisy(good, 2.0, seed=5))
    first, second = standing("lattice", [[ours]], store), standing("dcnv2", [[theirs]], store)
    assert first is not None and second is not None
    behind = difference([[ours]], [[theirs]], store)
    second = second.model_copy(update={"behind": behind})
    about: dict[str, Any] = {
        "command": "c", "machine": Machine.here(), "space": "s", "group": "g", "sample": None, "fingerprint": "f",
        "training_rows": 1234, "rows": 600, "seeds": 1,
    }  # fmt: skip
    stages = (Stage(title="One", base="lattice", standings=(second, first)), Stage(title="Two", base="b", standings=()))
    tuned = (Tuned(system="dcnv2", part="all", settings={"training.epochs": 1}, score=0.75),)
    found = Compared(**about, trials=2, cells=2, stages=stages, tuned=tuned)
    text = page(found, "image.png")
    rows = [line for line in text.splitlines() if line.startswith(("| lattice | 0.", "| dcnv2 | 0."))]
    assert rows[0].startswith(f"| lattice | {first.mean_auc:.4f} ± 0.0000 |")  # the better one first
    assert rows[1].split(" | ")[3].startswith("+0.")
    assert "## Two" not in text and "| dcnv2 | all | epochs 1 | 0.7500 |" in text
    assert "Optuna" in text and "Optuna" not in page(found.model_copy(update={"trials": 0, "tuned": ()}), "image.png")
    draw(found, tmp_path / "image.png")
    assert (tmp_path / "image.png").stat().st_size > 10_000
    ablated = Ablated(**about, base=first, network=(second,), supervision=())
    draw_ablation(ablated, tmp_path / "ablation.png")
    assert (tmp_path / "ablation.png").stat().st_size > 5_000
    lines = ablation_page(ablated, "ablation.png").splitlines()
    assert len([line for line in lines if line.startswith("| lattice |")]) == 2
    assert len([line for line in lines if line.startswith("| dcnv2 |")]) == 1


def test_every_ablation_changes_one_thing_that_there_is() -> None:
    manifest = make_manifest(domains=("web", "app"))
    base = System(name=LATTICE, kind=LATTICE)
    variants = {**NETWORK_CHANGES, **supervision(manifest)}
    plain = base.settings(base.start, manifest, 1, ("id_0",))
    for name, changes in variants.items():
        settings = base.settings({**base.start, **changes}, manifest, 1, ("id_0",))
        config = ModelConfig[Hyperparameters].model_validate(settings)
        assert settings != plain, name
        configure(config.network, manifest, "test")
        assert config.training.metabalance in (None, "click", "buy")


def test_a_grid_fills_its_store_and_goes_on_where_it_was(source: Source, tmp_path: Path) -> None:
    chosen = tuple(system for system in systems(source.manifest) if system.name in ("dlrm", LIGHTGBM, BY_PORTFOLIO))
    runner = Runner(source, ("id_0",))
    store = Store(tmp_path)
    assert not fill(grid(source.manifest, chosen, store.outcomes).cells, runner, store, minutes=0)
    one = grid(source.manifest, chosen, store.outcomes, trials=1)
    assert fill(one.cells, runner, store, minutes=30)
    # Seven parts, one cell on the test range, one on validation; those with tuned settings are the first ones again;
    # then all of them but the model a portfolio, which is no candidate for the best, on all rows.
    assert len(store.outcomes) == 2 * 7 + 2
    assert {o.failed for o in store.outcomes.values()} == {None}
    again = Store(tmp_path)
    assert fill(grid(source.manifest, chosen, again.outcomes, trials=1).cells, runner, again, minutes=0.001)
    for system in chosen:
        stands = standing(system.name, [one.chosen(system, 1, 300)], again)
        assert stands is not None
        assert [part.name for part in stands.portfolios] == [
            "web/click", "app/click", "web/buy/28d", "app/buy/28d", "app/redeem/28d",
        ]  # fmt: skip
    whole = [outcome for outcome in again.outcomes.values() if outcome.cell.rows is None]
    assert {outcome.trained_rows for outcome in whole} == {ROWS}
