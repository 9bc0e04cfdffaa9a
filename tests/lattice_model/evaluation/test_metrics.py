"""Metrics against values worked out by hand and against scikit-learn."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import log_loss, roc_auc_score
from torchmetrics.functional.classification import binary_auroc, binary_calibration_error
from torchrec.metrics.calibration import compute_calibration
from torchrec.metrics.ne import compute_ne, get_ne_states

from lattice_model.evaluation.metrics import (
    auc,
    calibration_points,
    cross_entropies,
    entropy,
    expected_calibration_error,
    grouped_auc,
    means,
    portfolio_metrics,
)
from lattice_model.evaluation.results import CalibrationPoint, PortfolioMetrics

STATES = ("cross_entropy_sum", "weighted_num_samples", "pos_labels", "neg_labels")
LABELS = np.array([0.0, 0.0, 1.0, 1.0, 0.0])
PREDICTIONS = np.array([0.1, 0.4, 0.4, 0.8, 0.2])


def metrics(labels: np.ndarray, predictions: np.ndarray, users: np.ndarray) -> PortfolioMetrics:  # type: ignore[type-arg]
    return portfolio_metrics(labels, predictions, users, domain="web", objective="buy", window="7d")


def test_known_values() -> None:
    found = metrics(LABELS, PREDICTIONS, np.array([1, 1, 2, 2, 3]))
    assert (found.rows, found.positives, found.negatives, found.users_with_positive) == (5, 2, 3, 1)
    assert found.base_rate == 0.4
    assert found.auc == pytest.approx(5.5 / 6)  # of the six pairs five are right, one is a tie
    bce = -sum(map(math.log, (0.9, 0.6, 0.4, 0.8, 0.8))) / 5
    assert found.bce == pytest.approx(bce)
    assert found.normalized_entropy == pytest.approx(bce / -(0.4 * math.log(0.4) + 0.6 * math.log(0.6)))
    assert found.calibration == pytest.approx(1.9 / 2)
    assert not found.in_mean


@given(st.integers(0, 1000), st.integers(2, 200), st.booleans())
def test_they_agree_with_scikit_learn(seed: int, rows: int, ties: bool) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, rows).astype(float)
    labels[:2] = 0, 1
    predictions = rng.random(rows).round(1 if ties else 9).clip(0.01, 0.99)
    assert auc(labels, predictions) == pytest.approx(roc_auc_score(labels, predictions))
    assert cross_entropies(labels, predictions).mean() == pytest.approx(log_loss(labels, predictions))


@given(st.integers(0, 1000), st.integers(2, 200), st.booleans())
def test_they_agree_with_torchmetrics_and_torchrec(seed: int, rows: int, ties: bool) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, rows).astype(float)
    labels[:2] = 0, 1
    predictions = rng.random(rows).round(1 if ties else 9).clip(0.01, 0.99)
    found = metrics(labels, predictions, np.arange(rows))
    label, prediction = torch.from_numpy(labels)[None], torch.from_numpy(predictions)[None]
    states = get_ne_states(label, prediction, torch.ones_like(label), eta=1e-12)
    ne = compute_ne(*(states[name].clone() for name in STATES), eta=1e-12)
    assert found.auc == pytest.approx(float(binary_auroc(prediction[0], label[0].int())), abs=1e-6)
    assert found.normalized_entropy == pytest.approx(float(ne))
    assert found.bce == pytest.approx(float(states["cross_entropy_sum"]) / rows * math.log(2))
    ratio = compute_calibration(prediction.sum(), label.sum())
    assert found.calibration == pytest.approx(float(ratio))


def test_a_calibration_error_is_that_of_torchmetrics_where_bins_are_as_wide_as_each_other() -> None:
    """Evenly spaced predictions: bins of equally many rows are then of one width, as torchmetrics has them."""
    predictions = (np.arange(1000) + 0.5) / 1000
    labels = (np.random.default_rng(0).random(1000) < predictions**2).astype(float)
    found = metrics(labels, predictions, np.arange(1000)).expected_calibration_error
    expected = binary_calibration_error(torch.from_numpy(predictions), torch.from_numpy(labels).int(), n_bins=20)
    assert found == pytest.approx(float(expected), abs=1e-6)


@given(st.integers(0, 1000), st.integers(1, 120), st.integers(1, 12), st.booleans())
def test_grouped_auc_is_the_weighted_mean_over_users(seed: int, rows: int, users: int, ties: bool) -> None:
    rng = np.random.default_rng(seed)
    labels, user = rng.integers(0, 2, rows).astype(float), rng.integers(0, users, rows)
    predictions = rng.random(rows).round(1 if ties else 9)
    mixed = [mask for mask in (user == number for number in range(users)) if len(set(labels[mask])) == 2]
    weights = [int(mask.sum()) for mask in mixed]
    expected = [roc_auc_score(labels[mask], predictions[mask]) for mask in mixed]
    found = grouped_auc(labels, predictions, user)
    assert found == (pytest.approx(np.average(expected, weights=weights)) if mixed else None)


def test_grouped_auc_without_rows_or_with_one_kind_of_label() -> None:
    nothing = np.empty(0)
    assert grouped_auc(nothing, nothing, np.empty(0, dtype=np.int64)) is None
    assert grouped_auc(np.ones(3), np.array([0.1, 0.2, 0.3]), np.zeros(3, dtype=np.int64)) is None


def test_predicting_the_base_rate_has_a_normalized_entropy_of_one_and_is_calibrated() -> None:
    labels = np.array([1.0] * 3 + [0.0] * 7)
    found = metrics(labels, np.full(10, 0.3), np.arange(10))
    assert found.normalized_entropy == pytest.approx(1)
    assert found.auc == 0.5
    assert found.calibration == pytest.approx(1)
    assert found.expected_calibration_error == pytest.approx(0)


@pytest.mark.parametrize("label", [0.0, 1.0])
def test_labels_of_one_kind_have_no_auc_and_no_normalized_entropy(label: float) -> None:
    found = metrics(np.full(4, label), np.array([0.2, 0.4, 0.6, 1.0]), np.arange(4))
    assert found.auc is None and found.normalized_entropy is None
    assert found.bce is not None and math.isfinite(found.bce)
    assert (found.calibration is None) == (label == 0)


def test_no_rows() -> None:
    found = metrics(np.empty(0), np.empty(0), np.empty(0, dtype=np.int64))
    assert found.rows == 0
    assert {found.base_rate, found.auc, found.bce, found.calibration, found.expected_calibration_error} == {None}


@pytest.mark.parametrize(
    ("positives", "users", "counted"), [(200, 50, True), (199, 50, False), (200, 49, False), (400, 50, False)]
)
def test_too_few_positives_or_users_are_left_out_of_means(positives: int, users: int, counted: bool) -> None:
    labels = np.repeat([1.0, 0.0], [positives, 400 - positives])
    found = metrics(labels, np.full(400, 0.5), np.arange(400) % users)
    assert found.in_mean is counted
    assert means([found]).portfolios == int(counted)
    assert (means([found]).auc is not None) == counted


def test_means_are_unweighted() -> None:
    large, small = (
        metrics(np.tile([1.0, 0.0], rows), np.tile(predictions, rows), np.arange(2 * rows))
        for rows, predictions in ((1000, [0.9, 0.1]), (300, [0.5, 0.5]))
    )
    assert means([large, small]).auc == pytest.approx(0.75)


def test_bins_hold_equally_many_rows_and_their_means() -> None:
    predictions = np.arange(100) / 100
    labels = (np.arange(100) % 2).astype(float)
    points = calibration_points(labels, predictions, bins=4)
    assert [point.rows for point in points] == [25, 25, 25, 25]
    assert [point.predicted for point in points] == pytest.approx([0.12, 0.37, 0.62, 0.87])
    assert [point.observed for point in points] == pytest.approx([0.48, 0.52, 0.48, 0.52])
    error = expected_calibration_error(points)
    assert error == pytest.approx((0.36 + 0.15 + 0.14 + 0.35) / 4)


@given(st.integers(0, 1000), st.integers(1, 300), st.integers(1, 3))
def test_bins_do_not_depend_on_the_order_of_rows(seed: int, rows: int, digits: int) -> None:
    rng = np.random.default_rng(seed)
    predictions, labels = rng.random(rows).round(digits), rng.integers(0, 2, rows).astype(float)
    points = calibration_points(labels, predictions)
    order = rng.permutation(rows)
    for one, other in zip(points, calibration_points(labels[order], predictions[order]), strict=True):
        assert one.model_dump() == pytest.approx(other.model_dump())
    assert sum(point.rows for point in points) == rows
    assert [point.predicted for point in points] == sorted(point.predicted for point in points)


def test_a_calibration_error_weighs_bins_by_rows() -> None:
    points = [
        CalibrationPoint(predicted=0.1, observed=0.2, rows=30),
        CalibrationPoint(predicted=0.8, observed=0.5, rows=10),
    ]
    assert expected_calibration_error(points) == pytest.approx(0.15)
    assert expected_calibration_error([]) is None


def test_entropy() -> None:
    assert entropy(0.5) == pytest.approx(math.log(2))
    assert entropy(0.0) == entropy(1.0) == 0
