"""Means and standard errors, by hand and against what repeated draws show."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lattice_model.importance.estimate import Estimate
from lattice_model.importance.permutation import permutation


def test_by_hand() -> None:
    """Three rows of three users, the last without a label; one permutation: 0 takes from 1, 1 from 2, 2 from 0.

    The mean is (0.3 + 0.1) / 2 = 0.2. What each row adds as taker and giver, less 0.2 for each part with a label: row 0
    takes 0.3 and gives to row 2, which does not count: 0.1; row 1 takes 0.1 and gives 0.3: 0; row 2 gives 0.1: -0.1.
    So the error is sqrt(0.01 + 0 + 0.01) / 2 rows, times sqrt(3 / 2) for three users.
    """
    estimate = Estimate(np.array([[1.0], [1.0], [0.0]]), np.array([0, 1, 2]))
    estimate.add(np.array([[0.3], [0.1], [0.0]]), np.array([1, 2, 0]))
    assert estimate.means() == pytest.approx(0.2)
    assert estimate.standard_errors() == pytest.approx(np.sqrt(0.02) / 2 * np.sqrt(1.5))


def test_two_permutations_of_one_user_s_rows() -> None:
    """All that rows add sums to zero over all of them, so one user among others who add nothing has no error."""
    estimate = Estimate(np.ones((4, 1)), np.array([0, 0, 1, 1]))
    estimate.add(np.array([[0.4], [0.2], [0.0], [0.0]]), np.array([1, 0, 3, 2]))
    estimate.add(np.array([[0.2], [0.4], [0.0], [0.0]]), np.array([1, 0, 2, 3]))
    assert estimate.means() == pytest.approx(0.15)
    # user 0: 2.4 as taker and giver, less 8 parts of 0.15; user 1: -1.2. Over 4 rows x 2 repeats.
    assert estimate.standard_errors() == pytest.approx(np.sqrt(1.2**2 + 1.2**2) / 8 * np.sqrt(2))


@pytest.mark.parametrize("repeats", [1, 5])
@pytest.mark.parametrize("rows_a_user", [1, 4])
def test_the_error_is_what_other_draws_of_users_show(repeats: int, rows_a_user: int) -> None:
    """f(r, s) has parts of the row, of the giver and of the pair; users share theirs. At most sqrt(2) too large."""
    rng = np.random.default_rng(repeats)
    means, errors = [], []
    for _ in range(600):
        users = np.repeat(np.arange(50), rows_a_user)
        own_R, given_R, value_R, weight_R = rng.normal(size=(4, 50))[:, users]
        estimate = Estimate(np.ones((len(users), 1)), users)
        for _ in range(repeats):
            donors_R = rng.permutation(len(users))
            increase_R = own_R + 0.5 * given_R[donors_R] + weight_R * value_R[donors_R]
            estimate.add(increase_R[:, None], donors_R)
        means.append(estimate.means()[0])
        errors.append(estimate.standard_errors()[0])
    ratio = float(np.sqrt(np.mean(np.square(errors))) / np.std(means))
    assert 0.93 < ratio < np.sqrt(2) * 1.05


@settings(max_examples=50, deadline=None)
@given(st.integers(2, 30), st.integers(1, 4), st.integers(0, 2**32 - 1), st.floats(0.1, 10))
def test_errors_scale_with_losses_and_vanish_without_differences(
    rows: int, repeats: int, seed: int, factor: float
) -> None:
    rng = np.random.default_rng(seed)
    labelled_RO = np.ones((rows, 2))
    users_R = np.unique(rng.integers(0, rows, rows), return_inverse=True)[1]
    first, scaled, equal = (Estimate(labelled_RO, users_R) for _ in range(3))
    for _ in range(repeats):
        increase_RO: NDArray[np.float64] = rng.normal(size=(rows, 2))
        donors_R = rng.permutation(rows)
        first.add(increase_RO, donors_R)
        scaled.add(factor * increase_RO, donors_R)
        equal.add(np.full((rows, 2), 0.25), donors_R)
    assert scaled.means() == pytest.approx(factor * first.means())
    assert scaled.standard_errors() == pytest.approx(factor * first.standard_errors())
    assert equal.means() == pytest.approx(0.25)
    assert equal.standard_errors() == pytest.approx(0.0, abs=1e-12)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 200), st.integers(0, 2**31), st.text(max_size=5), st.integers(0, 5))
def test_a_permutation_is_known_from_its_names(rows: int, seed: int, feature: str, repeat: int) -> None:
    first, again = (permutation(rows, seed=seed, feature=feature, repeat=repeat, domain="web") for _ in range(2))
    assert sorted(first) == list(range(rows))
    assert (first == again).all()
    if rows > 50:
        assert (first != permutation(rows, seed=seed, feature=feature, repeat=repeat, domain="app")).any()
        assert (first != permutation(rows, seed=seed, feature=feature, repeat=repeat + 1, domain="web")).any()
