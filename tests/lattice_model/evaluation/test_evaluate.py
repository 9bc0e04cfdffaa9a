"""The report of metrics."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from lattice_model.evaluation.evaluate import evaluate
from lattice_model.evaluation.predictions import Slice
from lattice_model.evaluation.results import MetricsReport
from tests.lattice_model.evaluation.made_up import MANIFEST, made_up

PREDICTIONS = made_up()
REPORT = evaluate(PREDICTIONS, model="made up", split="test", slices=[Slice(column="twin", value=v) for v in "09"])


def test_it_says_what_was_evaluated() -> None:
    assert (REPORT.rows, REPORT.users, REPORT.split, REPORT.model) == (3000, 200, "test", "made up")
    assert (REPORT.fingerprint, REPORT.tables) == (MANIFEST.fingerprint, MANIFEST.tables)


def test_each_slice_has_the_metrics_of_its_rows() -> None:
    every, single, none = REPORT.slices
    assert [part.name for part in REPORT.slices] == ["all", "twin=0", "twin=9"]
    assert [part.rows for part in REPORT.slices] == [3000, int((PREDICTIONS.keys["twin"] == 0).sum()), 0]
    for part, mask in ((every, np.ones(3000, bool)), (single, PREDICTIONS.keys["twin"] == 0)):
        for metrics in part.portfolios:
            index = [objective.name for objective in MANIFEST.objectives].index(metrics.objective)
            labels = PREDICTIONS.labels_RO[:, index]
            rows = mask & (PREDICTIONS.domain_R == MANIFEST.domains.index(metrics.domain)) & ~np.isnan(labels)
            assert metrics.rows == rows.sum()
            expected = roc_auc_score(labels[rows], PREDICTIONS.probabilities_RO[rows, index])
            assert metrics.auc == pytest.approx(expected)
    assert none.means.portfolios == 0 and none.means.auc is None


def test_a_slice_may_be_of_some_domains_only() -> None:
    part = Slice(column="twin", value="0", domains=("app", "mail"), title="without twins")
    sliced = evaluate(PREDICTIONS, model="", split="test", slices=[part]).slices[1]
    assert sliced.name == "without twins"
    assert {metrics.domain for metrics in sliced.portfolios} == {"app", "mail"}
    assert sliced.rows == ((PREDICTIONS.keys["twin"] == 0) & (PREDICTIONS.domain_R > 0)).sum()
    same = [metrics for metrics in REPORT.slices[1].portfolios if metrics.domain != "web"]
    assert list(sliced.portfolios) == same


def test_curves_cover_all_rows_of_each_portfolio() -> None:
    for curve, metrics in zip(REPORT.calibration_curves, REPORT.slices[0].portfolios, strict=True):
        assert (curve.domain, curve.objective) == (metrics.domain, metrics.objective)
        assert sum(point.rows for point in curve.points) == metrics.rows


def test_it_does_not_depend_on_the_order_of_rows() -> None:
    order = np.random.default_rng(0).permutation(3000)
    shuffled = replace(
        PREDICTIONS,
        keys={name: values[order] for name, values in PREDICTIONS.keys.items()},
        domain_R=PREDICTIONS.domain_R[order],
        labels_RO=PREDICTIONS.labels_RO[order],
        probabilities_RO=PREDICTIONS.probabilities_RO[order],
    )
    for one, other in zip(
        REPORT.slices[0].portfolios, evaluate(shuffled, model="", split="test").slices[0].portfolios, strict=True
    ):
        assert one.model_dump() == pytest.approx(other.model_dump())


def test_it_comes_back_from_its_file(tmp_path: Path) -> None:
    REPORT.write(tmp_path / "metrics.json")
    assert MetricsReport.read(tmp_path / "metrics.json") == REPORT
