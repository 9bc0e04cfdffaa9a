"""What Lattice Filter chooses: known answers, Algorithm 1, and that the fill is fair."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import ArrayLike
from scipy.stats import chisquare

from pipelines.frontiers import Floats
from pipelines.pareto import pareto_select
from schemas.errors import LatticeError
from tests.pipelines.test_frontiers import TABLES, dominates

# In the spirit of Figure 3, whose numbers the paper does not give: two tasks, frontiers of 4, 3 and 3 features.
TEN = np.array([[5, 3], [1, 9], [3, 6], [9, 2], [0, 6], [4, 8], [1, 7], [7, 6], [2, 5], [6, 4]])
FIRST, SECOND, THIRD = {1, 3, 5, 7}, {2, 6, 9}, {0, 4, 8}


def test_nine_of_ten_features_in_three_iterations() -> None:
    selection = pareto_select(TEN, 9, seed=1)
    features, frontiers = selection
    assert frontiers.tolist() == [1] * 4 + [2] * 3 + [3] * 2
    assert (set(features[:4]), set(features[4:7])) == (FIRST, SECOND)
    assert len(set(features[7:]) & THIRD) == 2
    assert selection.sizes == (4, 3, 3)
    assert selection.frontier_of.tolist() == [3, 1, 2, 1, 3, 1, 2, 1, 3, 2]
    assert selection.warnings == ()


@pytest.mark.parametrize(
    ("importance", "target"),
    [(TEN, 0), (TEN, 4), (TEN, 10), (np.zeros((0, 2)), 0), (np.ones((5, 1)), 3), ([[1.0, np.inf]], 1)],
)
def test_as_many_as_asked_for_each_once(importance: ArrayLike, target: int) -> None:
    features, frontiers = pareto_select(importance, target, seed=0)
    assert len(set(features.tolist())) == len(features) == len(frontiers) == target
    assert features.dtype == frontiers.dtype == np.int64


def test_a_first_frontier_above_the_target_is_a_warning_with_remedies() -> None:
    (warning,) = pareto_select(TEN, 3, seed=1).warnings
    assert "first frontier has 4 features, the target is 3" in warning
    assert "Raise the target" in warning
    assert pareto_select(TEN, 4, seed=1).warnings == pareto_select(TEN, 0, seed=1).warnings == ()


@pytest.mark.parametrize(("target", "seed", "place"), [(11, 0, "target"), (-1, 0, "target"), (1, -1, "seed")])
def test_refused(target: int, seed: int, place: str) -> None:
    with pytest.raises(LatticeError) as caught:
        pareto_select(TEN, target, seed)
    assert caught.value.place == place


def test_noise_reaches_the_frontiers() -> None:
    features, frontiers = pareto_select([[1], [2], [9]], 3, 0, standard_errors=np.ones((3, 1)), z=2)
    assert (features[0], set(features[1:]), frontiers.tolist()) == (2, {0, 1}, [1, 2, 2])


@settings(deadline=None)
@given(TABLES, st.integers(0, 5))
def test_a_smaller_target_chooses_the_beginning_of_what_a_larger_one_does(importance: Floats, seed: int) -> None:
    features, frontiers = pareto_select(importance, len(importance), seed)
    assert sorted(features) == list(range(len(importance)))
    assert frontiers.tolist() == sorted(frontiers)
    for target in range(len(importance)):
        assert pareto_select(importance, target, seed).features.tolist() == features[:target].tolist()


def algorithm_1(importance: Floats, first_freed_first: bool) -> list[int]:
    """M3C's Algorithm 1, line by line, over strict dominance: the order in which it takes all features.

    As printed, the sorted set holds (how many dominate it, feature), so that the smaller feature goes first; with
    ``first_freed_first`` the one goes first that has been free of dominating ones for longer.
    """
    pairs = np.argwhere(dominates(importance)).tolist()
    counter = dict.fromkeys(range(len(importance)), 0)
    dominated: dict[int, set[int]] = {feature: set() for feature in counter}
    freed = dict.fromkeys(counter, 0)
    for above, below in pairs:
        counter[below] += 1
        dominated[above].add(below)
    waiting = {(counter[feature], freed[feature] * first_freed_first, feature) for feature in counter}
    selected: list[int] = []
    while waiting:
        entry = min(waiting)
        waiting.remove(entry)
        feature = entry[2]
        selected.append(feature)
        for other in dominated[feature]:
            waiting.remove((counter[other], freed[other] * first_freed_first, other))
            counter[other] -= 1
            freed[other] = len(selected)
            waiting.add((counter[other], freed[other] * first_freed_first, other))
    return selected


def test_algorithm_1_as_printed_takes_a_feature_before_the_frontier_is_exhausted() -> None:
    """Feature 0 is dominated by 1 alone; taking 1 frees it, and it goes before 2, which nothing dominates."""
    importance = np.array([[3.0, 1], [4, 2], [1, 5]])
    assert algorithm_1(importance, first_freed_first=False) == [1, 0, 2]
    assert set(pareto_select(importance, 2, seed=0).features) == {1, 2}


@settings(deadline=None)
@given(TABLES)
def test_algorithm_1_first_freed_first_takes_the_same_wherever_a_frontier_ends(importance: Floats) -> None:
    order = algorithm_1(importance, first_freed_first=True)
    for target in np.cumsum(pareto_select(importance, 0, seed=0).sizes).tolist():
        assert set(pareto_select(importance, target, seed=0).features) == set(order[:target])


def test_the_fill_from_the_last_frontier_is_uniform() -> None:
    """Two of five, 4000 seeds: every pair is as likely, and so is either order of it."""
    importance = np.array([[9.0, 9], [1, 5], [2, 4], [3, 3], [4, 2], [5, 1]])
    drawn = [tuple(pareto_select(importance, 3, seed).features.tolist()) for seed in range(4000)]
    assert {features[0] for features in drawn} == {0}
    pairs = [sum(set(features[1:]) == set(pair) for features in drawn) for pair in combinations(range(1, 6), 2)]
    assert sum(pairs) == 4000
    assert chisquare(pairs).pvalue > 0.01
    rising = sum(features[1] < features[2] for features in drawn)
    assert chisquare([rising, 4000 - rising]).pvalue > 0.01
