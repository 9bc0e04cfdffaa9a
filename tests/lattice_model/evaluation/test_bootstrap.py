"""The bootstrap over users against the same thing done the slow way."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from lattice_model.evaluation.bootstrap import auc_replicates, draw, interval, normalized_entropy_replicates
from lattice_model.evaluation.metrics import cross_entropies, entropy


@given(st.integers(0, 500), st.integers(2, 12), st.integers(2, 60), st.booleans())
@settings(max_examples=50)
def test_a_replicate_is_the_metric_on_the_rows_repeated_as_drawn(seed: int, users: int, rows: int, ties: bool) -> None:
    rng = np.random.default_rng(seed)
    user_R = rng.integers(0, users, rows)
    label_R = rng.integers(0, 2, rows).astype(float)
    prediction_R = rng.random(rows).round(1 if ties else 9).clip(0.01, 0.99)
    draws = draw(users, 8, seed)
    aucs = auc_replicates(user_R, label_R, prediction_R, draws)
    entropies = normalized_entropy_replicates(user_R, label_R, prediction_R, draws)
    for drawn, found_auc, found_entropy in zip(draws, aucs, entropies, strict=True):
        repeated = np.repeat(np.arange(rows), drawn[user_R])
        labels, predictions = label_R[repeated], prediction_R[repeated]
        if 0 < labels.sum() < len(labels):
            assert found_auc == pytest.approx(roc_auc_score(labels, predictions))
            bce = cross_entropies(labels, predictions).mean()
            assert found_entropy == pytest.approx(bce / entropy(labels.mean()))
        else:
            assert np.isnan(found_auc) and not np.isfinite(found_entropy)


def test_draws_are_whole_users_and_the_same_by_seed() -> None:
    draws = draw(40, 300, 7)
    assert (draws.sum(1) == 40).all()
    assert draws.mean() == 1 and draws.std() == pytest.approx(np.sqrt(1 - 1 / 40), rel=0.03)
    assert np.array_equal(draws, draw(40, 300, 7)) and not np.array_equal(draws, draw(40, 300, 8))


def test_a_single_user_leaves_no_spread() -> None:
    labels, predictions = np.array([0.0, 1.0, 1.0]), np.array([0.2, 0.1, 0.6])
    replicates = auc_replicates(np.zeros(3, dtype=np.int64), labels, predictions, draw(1, 50, 0))
    found = interval(0.5, replicates)
    assert (found.low, found.high) == (0.5, 0.5)


def test_rows_of_one_user_make_it_wider_than_independent_rows() -> None:
    """Each row copied nine times under its user says nothing new: the interval stays as it was."""
    rng = np.random.default_rng(0)
    labels, users = rng.integers(0, 2, 300).astype(float), np.arange(300)
    predictions = (labels + rng.normal(size=300)) / 10 + 0.5
    draws = draw(300, 200, 1)
    once = auc_replicates(users, labels, predictions, draws)
    copied = auc_replicates(np.repeat(users, 9), np.repeat(labels, 9), np.repeat(predictions, 9), draws)
    assert copied == pytest.approx(once)


def test_no_rows_have_no_interval() -> None:
    empty = np.empty(0)
    replicates = auc_replicates(np.empty(0, dtype=np.int64), empty, empty, draw(5, 10, 0))
    assert interval(None, replicates).low is None
    assert interval(0.5, replicates).high is None


def test_the_interval_is_that_of_the_percentiles() -> None:
    found = interval(0.3, np.array([*np.linspace(0, 1, 41), np.nan]))
    assert found.estimate == 0.3
    assert [found.low, found.high] == pytest.approx([0.025, 0.975])
