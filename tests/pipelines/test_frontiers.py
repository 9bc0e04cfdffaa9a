"""Pareto frontiers: known answers, the properties that define them, and what other programs find."""

import moocore
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import ArrayLike, NDArray
from optuna.study._multi_objective import _fast_non_domination_rank

from pipelines.frontiers import Floats, Ints, frontiers_by_pairs, pareto_frontiers
from schemas.errors import LatticeError

INFINITY = float("inf")

# Few different values: ties and duplicates are the rule.
TABLES = arrays(
    np.float64, array_shapes(min_dims=2, max_dims=2, max_side=12), elements=st.integers(-2, 2).map(float)
)  # fmt: skip


@st.composite
def noisy_tables(draw: st.DrawFn) -> tuple[Floats, Floats]:
    """Importances, and standard errors that are 0 for some tasks and for some features."""
    importance = draw(TABLES)
    errors = draw(arrays(np.float64, importance.shape, elements=st.sampled_from([0.0, 0.5, 1.0, 2.0])))
    exact = draw(arrays(np.bool_, importance.shape[1]))
    return importance, np.where(exact, 0.0, errors)


def dominates(importance: Floats, noise: Floats | None = None, rounding: float = 0.0) -> NDArray[np.bool_]:
    """[a, b]: whether a dominates b, cell by cell as the docstring says; sums closer than ``rounding`` are unsure.

    With a positive ``rounding`` unsure pairs count, with a negative one they do not.
    """
    noise = np.zeros_like(importance) if noise is None else noise
    count, tasks = importance.shape
    noisy = [task for task in range(tasks) if any(noise[:, task] > 0)]
    scale = {task: np.mean([value for value in noise[:, task] if value > 0]) for task in noisy}
    found = np.zeros((count, count), dtype=bool)
    for a in range(count):
        for b in range(count):
            differences = importance[a] - importance[b]
            limits = [(noise[a, task] ** 2 + noise[b, task] ** 2) ** 0.5 for task in range(tasks)]
            won = {task for task in range(tasks) if differences[task] > limits[task]}
            lost = {task for task in range(tasks) if differences[task] < -limits[task]}
            ahead = sum(differences[task] / scale[task] for task in noisy)
            whole = ahead > 0 if abs(ahead) > abs(rounding) else rounding > 0 or bool(won - set(noisy))
            found[a, b] = bool(won) and not lost and whole
    return found


def peeled(dominating: NDArray[np.bool_]) -> Ints:
    """Frontier by frontier: what nothing that is left dominates."""
    frontiers = np.zeros(len(dominating), dtype=np.int64)
    while (left := frontiers == 0).any():
        on = left & ~dominating[left].any(0)
        assert on.any()
        frontiers[on] = frontiers.max() + 1
    return frontiers


@pytest.mark.parametrize(
    ("importance", "expected"),
    [
        # Better on one task, equal on the other.
        ([[1, 2], [1, 1]], [1, 2]),
        ([[1, 2], [2, 1]], [1, 1]),
        # Equals do not remove each other, at the front or behind it.
        ([[1, 1], [1, 1], [0, 1], [0, 1], [0, 0]], [1, 1, 2, 2, 3]),
        # Not dominated by the feature before it, but by one on the frontier before.
        ([[3, 3], [2, 2], [0, 4], [1, 1], [0, 3]], [1, 2, 1, 3, 2]),
        # One task: a frontier each importance.
        ([[2], [5], [2], [-1]], [2, 1, 2, 3]),
        # Negative, zero of both signs, the largest and the smallest numbers.
        ([[-1, -2], [-2, -1], [-2, -2]], [1, 1, 2]),
        ([[0.0, 1], [-0.0, 1]], [1, 1]),
        ([[1e308, 5e-324], [1e308, 0], [-1e308, 5e-324]], [1, 2, 2]),
        # Infinities are beyond every number and equal to themselves.
        ([[INFINITY, 0], [INFINITY, 0], [1e308, 0], [-INFINITY, 0], [-INFINITY, -1]], [1, 1, 2, 3, 4]),
        ([[INFINITY, -INFINITY], [0, 0], [-INFINITY, INFINITY]], [1, 1, 1]),
        (np.zeros((0, 3)), []),
    ],
)
def test_known_frontiers(importance: ArrayLike, expected: list[int]) -> None:
    assert pareto_frontiers(importance).tolist() == expected
    table = np.asarray(importance, dtype=np.float64)
    assert frontiers_by_pairs(table, np.zeros_like(table)).tolist() == expected


def test_more_tasks_than_moocore_takes() -> None:
    importance = np.zeros((3, 300))
    importance[0, 299] = importance[1, 0] = 1
    assert pareto_frontiers(importance).tolist() == [1, 1, 2]


def test_a_difference_within_noise_dominates_nobody() -> None:
    """Errors of 1: a difference's is 1.41."""
    importance, errors = [[10], [9], [8], [7], [5]], np.ones((5, 1))
    assert pareto_frontiers(importance, standard_errors=errors, z=1).tolist() == [1, 1, 2, 2, 3]
    assert pareto_frontiers(importance, standard_errors=errors, z=0).tolist() == [1, 2, 3, 4, 5]
    assert pareto_frontiers(importance, standard_errors=errors, z=4).tolist() == [1, 1, 1, 1, 1]
    errors[0] = 3  # only the largest is uncertain: 3.16 from the others
    assert pareto_frontiers(importance, standard_errors=errors, z=1).tolist() == [1, 1, 1, 2, 3]


def test_a_loss_within_noise_is_none() -> None:
    """Without noise the second, which is useless but lucky on one task, is on the first frontier."""
    importance, errors = [[9, 0, 0], [0, 1, -1]], np.ones((2, 3))
    assert pareto_frontiers(importance).tolist() == [1, 1]
    assert pareto_frontiers(importance, standard_errors=errors, z=1).tolist() == [1, 2]
    importance[1][1] = 2  # more than 1.41 above 0
    assert pareto_frontiers(importance, standard_errors=errors, z=1).tolist() == [1, 1]


def test_a_circle_is_cut_where_the_sum_says_so() -> None:
    """Each wins by 1.5 and loses by at most 1.25; errors of 1, so that 1.41 is noise."""
    importance, errors = [[3, 1.75, 1.5], [1.5, 3, 1.75], [1.75, 1.5, 3]], np.ones((3, 3))
    assert pareto_frontiers(importance, standard_errors=errors, z=1).tolist() == [1, 1, 1]
    importance[0][2] = 1.75  # now the first is ahead of the second on the whole, and no longer clearly behind the third
    assert pareto_frontiers(importance, standard_errors=errors, z=1).tolist() == [1, 2, 1]


def test_an_exact_task_decides_between_equals_alone() -> None:
    """Importance with an error of 1, and a cost without: cheap does not beat more important, if within noise."""
    importance, errors = np.array([[5, -1], [5.5, -3], [5, -3]]), np.array([[1, 0]] * 3)
    assert pareto_frontiers(importance, standard_errors=errors, z=1).tolist() == [1, 1, 2]


@pytest.mark.parametrize(
    ("importance", "errors", "z", "place", "words"),
    [
        ([[1, 2], [3, np.nan]], None, 2, "importance", "Feature 1 has nan at task 1"),
        ([[np.nan, np.nan]], None, 2, "importance", "2 such values"),
        ([[], []], None, 2, "importance", "(2, 0)"),
        ([1, 2], None, 2, "importance", "(2,)"),
        ([["a", "b"]], None, 2, "importance", "no table of numbers"),
        ([[1, 2], [3]], None, 2, "importance", "no table of numbers"),
        ([[1, 2]], [[1], [2]], 2, "standard errors", "(2, 1)"),
        ([[1, 2]], [[1, -1]], 2, "standard errors", "Feature 0 has -1.0 at task 1"),
        ([[1, 2]], [[np.nan, 1]], 2, "standard errors", "Feature 0 has nan at task 0"),
        ([[1, 2], [INFINITY, 2]], [[1, 1], [0, 1]], 2, "importance", "Feature 1 has inf at task 0"),
        ([[1, 2]], [[1, 1]], -1, "z", "-1"),
        ([[1, 2]], [[1, 1]], np.nan, "z", "nan"),
    ],
)
def test_refused(importance: ArrayLike, errors: ArrayLike | None, z: float, place: str, words: str) -> None:
    with pytest.raises(LatticeError) as caught:
        pareto_frontiers(importance, standard_errors=errors, z=z)
    assert caught.value.place == place
    assert words in caught.value.problem


@settings(deadline=None)
@given(TABLES)
def test_two_libraries_and_a_peel_find_the_same(importance: Floats) -> None:
    found = pareto_frontiers(importance)
    assert found.tolist() == peeled(dominates(importance)).tolist()
    assert found.tolist() == frontiers_by_pairs(importance, np.zeros_like(importance)).tolist()
    assert found.tolist() == (moocore.pareto_rank(importance, maximise=True) + 1).tolist()
    assert found.tolist() == (_fast_non_domination_rank(-importance) + 1).tolist()


@settings(deadline=None)
@given(TABLES)
def test_order_of_rows_does_not_matter_nor_units_of_tasks(importance: Floats) -> None:
    found = pareto_frontiers(importance)
    order = np.random.default_rng(len(importance)).permutation(len(importance))
    assert pareto_frontiers(importance[order]).tolist() == found[order].tolist()
    assert pareto_frontiers(importance[:, ::-1]).tolist() == found.tolist()
    assert pareto_frontiers(importance + np.arange(importance.shape[1]) * 7).tolist() == found.tolist()
    assert pareto_frontiers(np.exp(5 * importance) - 3).tolist() == found.tolist()


@settings(deadline=None)
@given(noisy_tables(), st.sampled_from([0.0, 0.5, 1.0, 2.0]))
def test_each_frontier_is_behind_the_one_before(table: tuple[Floats, Floats], z: float) -> None:
    """Every feature is on one; the one before dominates it, and neither its own nor a later one does."""
    importance, errors = table
    found = pareto_frontiers(importance, standard_errors=errors, z=z)
    assert set(found) == set(range(1, found.max() + 1))
    perhaps, surely = (dominates(importance, z * errors, rounding) for rounding in (1e-9, -1e-9))
    for feature, frontier in enumerate(found):
        assert not surely[found >= frontier, feature].any()
        assert frontier == 1 or perhaps[found == frontier - 1, feature].any()


@settings(deadline=None)
@given(noisy_tables())
def test_with_noise_order_and_units_do_not_matter_and_duplicates_stay_together(table: tuple[Floats, Floats]) -> None:
    importance, errors = table
    found = pareto_frontiers(importance, standard_errors=errors, z=1)
    order = np.random.default_rng(len(importance)).permutation(len(importance))
    again = pareto_frontiers(importance[order], standard_errors=errors[order], z=1)
    assert again.tolist() == found[order].tolist()
    units = 2.0 ** np.arange(importance.shape[1])
    assert pareto_frontiers(importance * units, standard_errors=errors * units, z=1).tolist() == found.tolist()
    twice = pareto_frontiers(np.repeat(importance, 2, 0), standard_errors=np.repeat(errors, 2, 0), z=1)
    assert twice[::2].tolist() == twice[1::2].tolist() == found.tolist()


@settings(deadline=None)
@given(noisy_tables())
def test_without_noise_errors_change_nothing(table: tuple[Floats, Floats]) -> None:
    importance, errors = table
    found = pareto_frontiers(importance).tolist()
    assert pareto_frontiers(importance, standard_errors=np.zeros_like(errors), z=3).tolist() == found
    assert pareto_frontiers(importance, standard_errors=errors, z=0).tolist() == found
