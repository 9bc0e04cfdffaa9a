"""Noise, criteria and wishes around Lattice Filter."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.frontiers import Floats
from pipelines.pareto import pareto_select
from pipelines.selection import Budget, Criterion, comparison_axes, select
from schemas.errors import LatticeError
from tests.pipelines.test_frontiers import TABLES

# Two tasks. 0 and 1 are the best for one each, 2 is behind both, 3 behind 2, 4 is harmful or nothing.
FIVE = np.array([[9.0, 1], [2, 8], [2, 1], [1, 1], [-5, 0]])


def test_axes_hold_what_is_above_noise_and_turned_criteria() -> None:
    axes = comparison_axes(
        np.array([[5.0, 1], [-9, 2], [1.9, -3]]),
        standard_errors=np.ones((3, 2)),
        z=1.5,
        criteria=[
            Criterion(name="cost", values=[7, 8, 0], lower_is_better=True),
            Criterion(name="coverage", values=[0.5, 1, 1], lower_is_better=False),
        ],
    )
    assert axes.useful.tolist() == [0, 1, 2]
    assert axes.values.tolist() == [[5, 1, -7, 0.5], [0, 2, -8, 1], [1.9, 0, 0, 1]]
    assert axes.standard_errors.tolist() == [[1, 1, 0, 0]] * 3


def test_an_importance_at_its_noise_is_not_useful() -> None:
    importance = np.array([[2.0], [2.1], [-3], [0]])
    axes = comparison_axes(importance, standard_errors=np.ones((4, 1)), z=2)
    assert axes.useful.tolist() == [1]
    assert comparison_axes(importance).useful.tolist() == [0, 1]


def test_a_cheap_useless_feature_is_on_no_frontier() -> None:
    cost = Criterion(name="cost", values=[4, 4, 4, 1, 0], lower_is_better=True)
    found = select(FIVE, 4, seed=0, criteria=[cost])
    # The cost brings 3 to the first frontier, where importance alone has it behind 2.
    assert found.frontier_of.tolist() == [1, 1, 2, 1, 0]
    assert set(found.features) == {0, 1, 2, 3}
    assert select(FIVE, 4, seed=0).frontier_of.tolist() == [1, 1, 2, 3, 0]


def test_a_target_beyond_what_is_useful_is_not_filled_but_said() -> None:
    found = select(FIVE, 5, seed=0)
    assert found.features.tolist() in ([0, 1, 2, 3], [1, 0, 2, 3])
    (warning,) = found.warnings
    assert "4 features were chosen, the target is 5: 4 have an importance above noise" in warning
    (warning,) = select(FIVE, 1, seed=0).warnings
    assert "The first frontier has 2 features, the target is 1" in warning
    assert select(-FIVE, 0, seed=0).warnings == ()


def test_noise_decides_who_competes_and_who_wins() -> None:
    """Without errors all three are on the first frontier; the last is luck, the second within noise of the first."""
    importance = np.array([[9.0, 5, 0], [8, 5.5, 0], [0, 0, 1]])
    assert select(importance, 3, 0).frontier_of.tolist() == [1, 1, 1]
    assert select(importance, 2, 0, standard_errors=np.ones((3, 3)), z=2).frontier_of.tolist() == [1, 1, 0]
    importance[0, 0] = 12
    assert select(importance, 2, 0, standard_errors=np.ones((3, 3)), z=2).frontier_of.tolist() == [1, 2, 0]


def test_must_comes_first_whatever_its_importance_and_still_dominates() -> None:
    found = select(FIVE, 3, seed=0, must=[4, 0, 4])
    assert found.features.tolist() == [4, 0, 1]
    assert found.frontiers.tolist() == [0, 1, 1]
    assert found.frontier_of.tolist() == [1, 1, 2, 3, 0]


def test_must_not_pushes_nobody_back() -> None:
    found = select(FIVE, 2, seed=0, must_not=[0, 2])
    assert found.frontier_of.tolist() == [0, 1, 0, 2, 0]
    assert found.features.tolist() == [1, 3]


def test_what_comes_together_is_chosen_with_its_best_and_counts_in_full() -> None:
    # 0 brings 3 and 4; then one place is left, for 1.
    found = select(FIVE, 4, seed=0, together=[[3, 0, 4]])
    assert sorted(found.features.tolist()) == [0, 1, 3, 4]
    assert dict(zip(*found, strict=True)) == {0: 1, 1: 1, 3: 3, 4: 0}
    # It no longer fits: passed over, for features of later frontiers.
    assert select(FIVE, 2, seed=0, together=[[3, 0, 4]]).features.tolist() == [1, 2]
    assert select(FIVE, 3, seed=0, together=[[1, 4]], must=[4]).features.tolist() == [1, 4, 0]
    assert select(FIVE, 3, seed=0, together=[[0, 2]], must_not=[2]).features.tolist() == [1, 3]


def test_the_preferred_part_of_a_frontier_is_taken_and_frontiers_still_go_first() -> None:
    for seed in range(5):
        assert select(FIVE, 1, seed, preference=[1, 2, 9, 9, 9]).features.tolist() == [1]
        assert select(FIVE, 3, seed, preference=[3, 2, 0, 9, 9]).features.tolist() == [0, 1, 2]
    (warning,) = select(FIVE, 1, 0, preference=[1, 2, 9, 9, 9]).warnings
    assert "the preferred part of it was chosen" in warning
    assert {select(FIVE, 1, seed, preference=np.zeros(5)).features[0] for seed in range(9)} == {0, 1}


def test_what_a_budget_has_no_room_for_is_passed_over() -> None:
    cost = Budget(name="cost", values=[0.1, 0.7, 0.2, 0.1, 0], most=0.3)
    found = select(FIVE, 3, seed=0, budgets=[cost])
    assert found.features.tolist() == [0, 2]
    assert found.passed_over == {1, 3}
    assert "limits had no room for 2" in found.warnings[-1]
    # What must be chosen has paid first; what comes together pays together.
    assert select(FIVE, 3, seed=0, budgets=[cost], must=[3]).features.tolist() == [3, 0]
    assert select(FIVE, 4, seed=0, budgets=[cost], together=[[0, 2, 4]]).features.tolist() == [0, 2, 4]
    assert select(FIVE, 4, seed=0, budgets=[cost], together=[[0, 2, 3]]).features.tolist() == []


@pytest.mark.parametrize(
    ("wishes", "place"),
    [
        ({"target": 6}, "target"),
        ({"budgets": [Budget(name="cost", values=[1, 2, 3, 4, 5], most=4)], "must": [0, 3]}, "limit 'cost'"),
        ({"budgets": [Budget(name="cost", values=[1, 2], most=4)]}, "criterion 'cost'"),
        ({"preference": [1, np.nan, 1, 1, 1]}, "preference"),
        ({"must": [0, 1, 2, 3]}, "must"),
        ({"must": [0], "together": [[0, 1, 2, 3]]}, "must"),
        ({"must": [5]}, "must"),
        ({"must_not": [-1]}, "must not"),
        ({"must": [0], "must_not": [0]}, "must, must not"),
        ({"must": [0], "must_not": [1], "together": [[0, 1]]}, "must, must not"),
        ({"together": [[0, 1], [1, 2]]}, "together"),
        ({"together": [[0, 0]]}, "together"),
        ({"together": [[0, 5]]}, "together"),
        ({"criteria": [Criterion(name="cost", values=[1, 2], lower_is_better=True)]}, "criterion 'cost'"),
        ({"criteria": [Criterion(name="cost", values=[1, 2, 3, 4, np.nan], lower_is_better=True)]}, "criterion 'cost'"),
    ],
)
def test_refused(wishes: dict[str, Any], place: str) -> None:
    with pytest.raises(LatticeError) as caught:
        select(FIVE, **{"target": 3, "seed": 0, **wishes})
    assert caught.value.place == place


@settings(deadline=None)
@given(TABLES, st.integers(0, 12), st.integers(0, 3))
def test_without_wishes_it_is_pareto_select_of_the_useful(importance: Floats, target: int, seed: int) -> None:
    target = min(target, len(importance))
    useful = np.flatnonzero((importance > 0).any(1))
    expected = pareto_select(np.maximum(importance[useful], 0), min(target, len(useful)), seed)
    found = select(importance, target, seed)
    assert found.features.tolist() == useful[expected.features].tolist()
    assert found.frontiers.tolist() == expected.frontiers.tolist()


@settings(deadline=None)
@given(TABLES, st.data())
def test_wishes_are_met(importance: Floats, data: st.DataObject) -> None:
    count = len(importance)
    parts = data.draw(st.lists(st.integers(0, 3), min_size=count, max_size=count))
    together = [[f for f in range(count) if parts[f] == part] for part in (1, 2, 3)]
    must_not = data.draw(st.sets(st.integers(0, count - 1)))
    target = data.draw(st.integers(0, count))
    found = select(importance, target, 0, must_not=sorted(must_not), together=together)
    chosen = set(found.features.tolist())
    assert len(chosen) == len(found.features) <= target
    assert not chosen & must_not
    assert all(chosen >= set(group) or not chosen & set(group) for group in together)
    # Places that are left fit nothing that is left over.
    free = set(np.flatnonzero(found.frontier_of)) - chosen
    units = [next((group for group in together if feature in group), [feature]) for feature in free]
    assert all(len(unit) > target - len(chosen) for unit in units)


@settings(deadline=None)
@given(TABLES, st.data())
def test_budgets_and_preferences_are_kept(importance: Floats, data: st.DataObject) -> None:
    count = len(importance)
    target = data.draw(st.integers(0, count))
    costs, preference = (
        np.array(data.draw(st.lists(st.integers(0, 5), min_size=count, max_size=count))) for _ in range(2)
    )
    most = data.draw(st.integers(0, 20))
    found = select(importance, target, 0, budgets=[Budget(name="cost", values=costs, most=most)], preference=preference)
    left = most - costs[found.features].sum()
    assert left >= 0
    if len(found.features) < target:
        useful = set(np.flatnonzero((importance > 0).any(1)).tolist())
        assert useful - set(found.features.tolist()) == found.passed_over
        assert all(costs[feature] > left for feature in found.passed_over)
    free = select(importance, target, 0, preference=preference)
    for feature in set(range(count)) - set(free.features.tolist()):
        rivals = free.features[free.frontiers == free.frontier_of[feature]]
        assert free.frontier_of[feature] == 0 or (preference[rivals] >= preference[feature]).all()
