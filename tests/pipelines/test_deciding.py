"""Every candidate's decision, and how it holds against noise."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.deciding import Choice, Wishes, choose, chosen_share, in_order
from pipelines.importances import Importances, importances
from schemas.errors import LatticeError
from schemas.narrowing import narrowed
from schemas.space import ModelSpace
from tests.pipelines.importance_rows import importance_table
from tests.pipelines.space import declaration, small_space

FEED, SEARCH, BUY = "feed/click", "search/click", "search/buy"
EXACT = Wishes(target=3, z=None)


def _found(space: ModelSpace, **means: tuple[float, float, float]) -> Importances:
    """Features without a domain of their own; standard errors of 0.1."""
    measured = {
        name: {task: (mean, 0.1) for task, mean in zip((FEED, SEARCH, BUY), of_tasks, strict=True)}
        for name, of_tasks in means.items()
    }
    return importances(importance_table(measured, space), space)


# user and kind are best for one task each, hour is behind both, pair_recency behind hour, price is worth nothing.
FIVE = _found(small_space(), user=(9, 1, 1), kind=(2, 8, 1), hour=(2, 1, 1), pair_recency=(1, 1, 1), price=(-1, 0, 0))


def _decided(choice: Choice) -> dict[str, tuple[bool, int, str]]:
    return {d.feature: (d.chosen, d.frontier, d.reason) for d in choice.decisions}


def test_every_candidate_has_a_decision_with_its_reason() -> None:
    choice = choose(FIVE, EXACT, {})
    decided = _decided(choice)
    assert decided.keys() == set(FIVE.names)
    assert decided["user"] == decided["kind"] == (True, 1, "frontier")
    assert decided["hour"] == (True, 2, "frontier")
    assert decided["pair_recency"] == (False, 3, "frontier")
    assert decided["price"] == (False, 0, "noise")
    assert decided["taste_count_all"] == (False, 0, "unmeasured")
    assert choice.chosen == {"user", "kind", "hour"}
    assert choice.selection.sizes == (2, 1, 1)
    positions = {d.feature: d.position for d in choice.decisions if d.position}
    assert sorted(positions.values()) == [1, 2, 3]
    assert positions["hour"] == 3


def test_a_frontier_without_room_is_drawn_from() -> None:
    decided = _decided(choose(FIVE, replace(EXACT, target=1), {}))
    assert sorted([decided["user"], decided["kind"]]) == [(False, 1, "fill"), (True, 1, "fill")]
    assert decided["hour"] == (False, 2, "frontier")


def test_wishes_go_before_frontiers() -> None:
    wishes = replace(EXACT, must=("price", "taste_count_all"), must_not=("user",))
    decided = _decided(choose(FIVE, wishes, {}))
    assert decided["price"] == (True, 0, "must")
    assert decided["taste_count_all"] == (True, 0, "must")
    assert decided["user"] == (False, 0, "must_not")
    assert decided["kind"] == (True, 1, "frontier")


def test_what_live_models_read_is_pinned_if_it_is_not_chosen() -> None:
    choice = choose(FIVE, EXACT, {}, pinned=["user", "price"])
    assert [d.feature for d in choice.decisions if d.pinned] == ["price"]


def test_noise_is_told_apart_by_standard_errors() -> None:
    # 0.15 is less than two standard errors of 0.1.
    found = _found(small_space(), user=(1, 1, 1), kind=(0.15, 0.15, 0.15))
    assert _decided(choose(found, Wishes(target=2), {}))["kind"] == (False, 0, "noise")
    assert _decided(choose(found, Wishes(target=2, z=1), {}))["kind"] == (True, 2, "frontier")
    assert _decided(choose(found, Wishes(target=2, z=None), {}))["kind"] == (True, 2, "frontier")


def test_a_cost_that_is_declared_is_an_axis() -> None:
    tree = declaration()
    tree["features"]["history"]["pair"]["cost"] = {"compute": 1.0}
    for kind, name in (("categorical", "user"), ("categorical", "hour"), ("dense", "price")):
        tree["features"][kind][name]["cost"] = {"compute": 5.0}
    tree["features"]["categorical"]["kind"]["cost"] = {"compute": 2.0}
    costly = ModelSpace.model_validate(tree)
    found = _found(costly, user=(9, 1, 1), kind=(2, 8, 1), hour=(2, 1, 1), pair_recency=(1, 1, 1), price=(-1, 0, 0))
    decided = _decided(choose(found, replace(EXACT, criteria=("cost.compute",)), {}))
    # A history's column costs what its declaration says: 1, less than all others.
    assert decided["pair_recency"] == (True, 1, "frontier")
    assert decided["hour"] == (False, 2, "frontier")
    assert decided["price"] == (False, 0, "noise")


def test_coverage_is_an_axis_on_which_ids_are_always_known() -> None:
    found = _found(small_space(), user=(1, 1, 1), price=(2, 2, 2), pair_recency=(1, 1, 1))
    wishes = Wishes(target=2, z=None, criteria=("coverage",))
    decided = _decided(choose(found, wishes, {"price": 0.4, "pair_recency": 0.3}))
    assert decided["user"] == decided["price"] == (True, 1, "frontier")
    assert decided["pair_recency"] == (False, 2, "frontier")


def test_freshness_is_an_axis_and_a_limit_of_each() -> None:
    tree = declaration()
    tree["features"]["categorical"]["user"]["delay"] = "1d"
    tree["features"]["history"]["pair"]["delay"] = "2h"
    space = ModelSpace.model_validate(tree)
    found = _found(space, user=(9, 9, 9), kind=(2, 8, 1), pair_recency=(1, 1, 1), price=(1, 1, 0))
    decided = _decided(choose(found, EXACT, {}))
    assert [name for name, (chosen, _, _) in decided.items() if chosen] == ["user", "kind", "pair_recency"]
    assert decided["kind"][1] == 2
    fresh = _decided(choose(found, replace(EXACT, criteria=("freshness",)), {}))
    assert (fresh["user"][1], fresh["kind"][1]) == (1, 1)
    limited = _decided(choose(found, replace(EXACT, limits=(("freshness", 7200.0),)), {}))
    assert limited["user"] == (False, 0, "limit")
    assert limited["kind"] == (True, 1, "frontier") and limited["pair_recency"][0]
    assert choose(found, replace(EXACT, limits=(("freshness", 0.0),), must=("user",)), {}).chosen == {
        "user",
        "kind",
        "price",
    }


def test_limits_on_costs_and_coverage_leave_features_out() -> None:
    tree = declaration()
    for name, cost in (("user", 3.0), ("kind", 2.0), ("hour", 1.0)):
        tree["features"]["categorical"][name]["cost"] = {"storage": cost}
    found = _found(ModelSpace.model_validate(tree), user=(9, 1, 1), kind=(9, 1, 1), hour=(2, 1, 1), price=(1, 1, 1))
    choice = choose(found, replace(EXACT, limits=(("cost.storage", 4.0), ("coverage", 0.5))), {"price": 0.4})
    decided = _decided(choice)
    assert decided["price"] == (False, 0, "limit")
    assert {decided["user"], decided["kind"]} in ({(True, 1, "frontier"), (False, 1, "limit")},)
    assert decided["hour"] == (True, 2, "frontier")
    assert any("limits had no room for 1" in warning for warning in choice.selection.warnings)


def test_the_most_important_come_first_by_the_weight_of_their_portfolio() -> None:
    wishes = replace(EXACT, target=1, fill="importance")
    # user has 9 of 13 of one task, kind 8 of 11 of another.
    by_seed = [choose(FIVE, replace(wishes, seed=seed), {}).chosen for seed in range(5)]
    assert by_seed == [{"kind"}] * 5
    weighted = replace(wishes, weights=((FEED, 2.0),))
    assert choose(FIVE, weighted, {}).chosen == {"user"}
    assert weighted.described == ("--fill importance", "--weight feed/click=2")
    order = in_order(FIVE, weighted, {})
    assert [FIVE.names[feature] for feature in order] == ["user", "kind", "hour", "pair_recency"]


def test_features_that_come_together_do() -> None:
    wishes = replace(EXACT, target=3, together=(("user", "price"),))
    assert choose(FIVE, wishes, {}).chosen == {"user", "price", "kind"}
    assert choose(FIVE, replace(wishes, target=1), {}).chosen == {"kind"}
    decided = _decided(choose(FIVE, replace(wishes, must_not=("price",)), {}))
    assert decided["user"] == (False, 0, "must_not")
    limited = replace(wishes, limits=(("coverage", 0.5),))
    assert _decided(choose(FIVE, limited, {"price": 0.4}))["user"] == (False, 0, "limit")
    assert _decided(choose(FIVE, replace(limited, must=("user",)), {"price": 0.4}))["price"] == (True, 0, "must")


@pytest.mark.parametrize(
    ("wishes", "says"),
    [
        ({"limits": (("rain", 1.0),)}, "--limit\n  There is no criterion 'rain'"),
        ({"limits": (("freshness", 1.0),)}, "No feature of the space declares a delay"),
        ({"weights": (("feed/rain", 1.0),), "fill": "importance"}, "know no task 'feed/rain'"),
        ({"weights": ((FEED, 1.0),)}, "Add --fill importance"),
        ({"together": (("user", "rain"),)}, "no feature 'rain'"),
        ({"together": (("user", "kind"), ("kind", "hour"))}, "--together\n  'kind' is there twice"),
        ({"together": (("user", "kind"),), "must": ("user",), "must_not": ("kind",)}, "'user' is in both"),
        ({"target": 99}, "target"),
        ({"target": -1}, "below 0"),
        ({"seed": -1}, "below 0"),
        ({"z": -1.0}, "no multiple"),
        ({"criteria": ("cost.water",)}, "Known: cost.compute, cost.storage, coverage"),
        ({"criteria": ("cost.storage",)}, "No feature of the space declares this cost"),
        ({"criteria": ("coverage",)}, "No feature's coverage is known"),
        ({"must": ("users",)}, "no feature 'users'.\n  Close to it: user"),
        ({"must_not": ("rain",)}, "no feature 'rain'"),
        ({"must": ("user",), "must_not": ("user",)}, "'user' is in both"),
        ({"must": ("user", "kind", "hour", "price")}, "4 features must be chosen"),
    ],
)
def test_wishes_that_cannot_be_met(wishes: dict[str, Any], says: str) -> None:
    with pytest.raises(LatticeError, match=says):
        choose(FIVE, replace(EXACT, **wishes), {})


def test_without_noise_every_resample_chooses_the_same() -> None:
    still = replace(FIVE, standard_errors=np.zeros_like(FIVE.standard_errors))
    share = dict(zip(still.names, chosen_share(still, EXACT, {}, 5), strict=True))
    assert {name for name, part in share.items() if part} == {"user", "kind", "hour"}
    assert {share[name] for name in ("user", "kind", "hour")} == {1.0}


def test_two_features_that_only_noise_tells_apart_are_chosen_half_of_the_time() -> None:
    found = _found(small_space(), user=(9, 9, 9), kind=(5, 5, 5), hour=(5, 5, 5))
    # With z = 0 the better draw wins. On one task: on three, they would often share a frontier.
    one = replace(found, tasks=found.tasks[:1], means=found.means[:, :1], standard_errors=found.standard_errors[:, :1])
    share = dict(zip(one.names, chosen_share(one, Wishes(target=2, z=None), {}, 400), strict=True))
    assert share["user"] == 1
    assert share["kind"] + share["hour"] == pytest.approx(1)
    # Five standard deviations of a fair coin thrown 400 times.
    assert abs(share["kind"] - 0.5) < 0.125


@given(st.integers(0, 5), st.integers(0, 20), st.sampled_from([None, 1.0, 2.0]))
def test_decisions_agree_with_the_selection(target: int, seed: int, z: float | None) -> None:
    choice = choose(FIVE, Wishes(target=target, seed=seed, z=z), {})
    chosen = [d for d in choice.decisions if d.chosen]
    assert {d.feature for d in chosen} == choice.chosen
    assert sorted(d.position or 0 for d in chosen) == list(range(1, len(chosen) + 1))
    assert len(chosen) == min(target, 4)
    assert all(d.position is None for d in choice.decisions if not d.chosen)
    # What a kept frontier left out could only be its drawn part.
    worst = max((d.frontier for d in chosen), default=0)
    assert all(d.reason == "fill" for d in choice.decisions if not d.chosen and 0 < d.frontier < worst) or not chosen


def test_a_narrowed_space_has_the_chosen_columns_alone() -> None:
    choice = choose(FIVE, EXACT, {})
    found = _found(narrowed(small_space(), choice.chosen), user=(1, 1, 1))
    assert set(found.names) == {"user", "kind", "hour"}
