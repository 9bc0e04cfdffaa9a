"""The parts of the quality benchmark on tables so small that the answer is known."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from pyspark.sql import SparkSession

from benchmarks.closed_rows import with_oracle_labels
from benchmarks.flat import FlatRows, flat_rows, summarise
from benchmarks.quality_page import page
from benchmarks.quality_result import Machine, QualityResult
from benchmarks.trees import SETTINGS, fit_and_predict, known_when_closed, known_when_zipped
from lattice_model.evaluation.comparison import compare
from lattice_model.evaluation.predictions import KEYS
from lattice_model.loader import Loader
from lattice_model.loading.rows import fold
from schemas.errors import LatticeError
from schemas.manifest import TrainingManifest
from schemas.space_file import load_space
from tests.lattice_model.factories import make_manifest
from tests.lattice_model.tables import START, make_table, write_files

ROWS = 4000
TIMES = ("impression_time", "available_time")


def test_a_sequence_is_summed_up_over_its_filled_places() -> None:
    ids_BNI = np.array([[[7], [5], [7], [9]], [[0], [0], [0], [0]], [[5], [5], [5], [5]]])
    numbers_BNE = np.array([[[1.0], [2.0], [6.0], [100.0]], [[8.0]] * 4, [[3.0]] * 4], dtype=np.float32)
    summary = summarise(ids_BNI, numbers_BNE, np.array([3, 0, 4]), [(0, np.array([5, 0, 9]))])
    # length, mean, events with the impression's own id, place of the newest of them
    expected = np.array([[3, 3, 1, 1], [0, np.nan, 0, np.nan], [4, 3, 0, np.nan]])
    np.testing.assert_array_equal(summary, expected)


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads that wait for each other over so few rows are slow on a busy machine."""
    monkeypatch.setitem(SETTINGS, "num_threads", 1)


@pytest.fixture(scope="module")
def manifest() -> TrainingManifest:
    """Validation begins a third of the way through the rows, test at two thirds."""
    cuts = {"validation": datetime(2024, 2, 25, tzinfo=UTC), "test": datetime(2024, 4, 20, tzinfo=UTC)}
    return make_manifest(domains=("web", "app")).model_copy(update={"cuts": cuts})


@pytest.fixture(scope="module")
def rows(manifest: TrainingManifest, tmp_path_factory: pytest.TempPathFactory) -> FlatRows:
    files = write_files(make_table(manifest, ROWS), tmp_path_factory.mktemp("rows"), row_group=1000)
    loader = Loader(files, manifest, batch_size=700, shuffle=False, keys=(*KEYS, *TIMES))
    return flat_rows(loader.epoch(), manifest, left_out=("id_1",))


def test_flat_rows_hold_what_the_table_holds(manifest: TrainingManifest, rows: FlatRows) -> None:
    table = make_table(manifest, ROWS)
    assert rows.features_RF.shape == (ROWS, len(rows.names))
    assert "id_1" not in rows.names
    size = manifest.categorical[2].size
    expected = fold(table["id_2"].to_numpy(), size)
    np.testing.assert_array_equal(rows.features_RF[:, rows.names.index("id_2")], expected)
    np.testing.assert_array_equal(
        rows.features_RF[:, rows.names.index("number_3")], table["number_3"].to_numpy().astype(np.float32)
    )


def test_labels_are_known_when_their_window_has_closed(manifest: TrainingManifest, rows: FlatRows) -> None:
    zipped, closed = known_when_zipped(rows, manifest), known_when_closed(rows, manifest)
    click, buy = (~np.isnan(rows.labels_RO[:, i]) for i in (0, 1))
    longest = rows.window_R == manifest.windows.index("28d")
    hours = START + np.arange(ROWS).astype("timedelta64[h]")
    np.testing.assert_array_equal(~np.isnat(zipped[:, 1]), buy & longest)
    np.testing.assert_array_equal(zipped[click, 0], hours[click])
    np.testing.assert_array_equal(closed[buy, 1], hours[buy] + np.timedelta64(28, "D"))
    np.testing.assert_array_equal(closed[click, 0], hours[click])


def with_signal(rows: FlatRows) -> FlatRows:
    """Labels that follow one number; NaN where there was no label."""
    positive = rows.features_RF[:, rows.names.index("number_0")] > 0.5
    return replace(rows, labels_RO=np.where(np.isnan(rows.labels_RO), np.nan, positive[:, None].astype(float)))


def test_trees_find_a_signal_and_see_nothing_after_the_cut(manifest: TrainingManifest, rows: FlatRows) -> None:
    learnt = with_signal(rows)
    known = known_when_zipped(learnt, manifest)
    first, fitted = fit_and_predict(learnt, known, learnt, learnt, manifest)
    report = compare(("trees", first), ("again", first), split="test", replicates=5)
    click = report.portfolios[0].first
    assert click.auc is not None
    assert click.auc > 0.95
    cut = np.datetime64(manifest.cuts["test"].replace(tzinfo=None))
    assert fitted[0].rows == int((learnt.domain_R == 0)[known[:, 0] < cut].sum())

    late = known >= cut
    changed = replace(learnt, labels_RO=np.where(late, 1 - learnt.labels_RO, learnt.labels_RO))
    again, _ = fit_and_predict(changed, known, learnt, learnt, manifest)
    np.testing.assert_array_equal(again.probabilities_RO, first.probabilities_RO)


def test_a_portfolio_without_training_rows_is_refused(manifest: TrainingManifest, rows: FlatRows) -> None:
    nothing = np.full(rows.labels_RO.shape, np.datetime64("NaT"), "datetime64[us]")
    with pytest.raises(LatticeError, match="web/click"):
        fit_and_predict(rows, nothing, rows, rows, manifest)


def test_the_page_says_who_is_ahead(manifest: TrainingManifest, rows: FlatRows, tmp_path: Path) -> None:
    learnt = with_signal(rows)
    trees, fitted = fit_and_predict(learnt, known_when_zipped(learnt, manifest), learnt, learnt, manifest)
    guess = replace(trees, probabilities_RO=np.full_like(trees.probabilities_RO, 0.3))
    found = compare(("Lattice", guess), ("LightGBM", trees), split="test", replicates=5)
    # Users are too few for means here; take their minimum as met.
    enough = {"in_mean": True}
    counted = tuple(
        part.model_copy(update={"first": part.first.model_copy(update=enough)}) for part in found.portfolios
    )
    found = found.model_copy(update={"portfolios": counted, "mean_auc": counted[0].auc})
    result = QualityResult(
        space="s", group="g", model="m", fingerprint="f", tables=manifest.tables, left_out=("id_1",),
        zipped=found, closed=found, fitted_zipped=fitted, fitted_closed=fitted,
        settings={**SETTINGS, "num_boost_round": 10}, seconds={"a step": 3.2}, peak_gib=1.0, command="c",
        machine=Machine.here(),
    )  # fmt: skip
    text = page(result)
    assert "short" in text.splitlines()[2]
    assert "| web/click |" in text
    assert "| mean of 5 |" in text
    result.write(tmp_path / "quality.json")
    assert QualityResult.model_validate_json((tmp_path / "quality.json").read_text()) == result


def test_oracle_labels_of_every_impression(spark: SparkSession) -> None:
    space = load_space("complete_journey")
    rows = spark.sql(
        "select id as impression_id, if(id = 2, 'coupon', 'display') as domain, "
        "timestamp'2017-03-01 12:00:00' as impression_time from range(3)"
    )
    outcomes = spark.sql(
        "select 0L as impression_id, cast(null as timestamp) as arrival_basket, "
        "timestamp'2017-03-20 00:00:00' as arrival_purchase, cast(null as timestamp) as arrival_redeem"
    )
    found = {row.impression_id: row for row in with_oracle_labels(rows, outcomes, space, "all").collect()}
    assert [found[i].label_purchase for i in range(3)] == [1, 0, 0]
    assert [found[i].label_basket for i in range(3)] == [0, 0, None]
    assert [found[i].label_redeem for i in range(3)] == [None, None, 0]
