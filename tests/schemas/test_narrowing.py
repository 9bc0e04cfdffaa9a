"""A space with some of its features."""

from hypothesis import given
from hypothesis import strategies as st

from schemas.features import categorical_columns, dense_columns, sequence_columns
from schemas.narrowing import candidates, narrowed, with_parts
from schemas.space import ModelSpace
from tests.pipelines.space import declaration, small_space

SPACE = small_space()
NAMES = [candidate.name for candidate in candidates(SPACE)]


def test_candidates_are_the_columns_by_kind_with_domains_and_costs() -> None:
    tree = declaration()
    tree["features"]["history"]["pair"]["cost"] = {"storage": 3}
    tree["features"]["ratio"]["dwell"]["cost"] = {"compute": 2}
    found = {candidate.name: candidate for candidate in candidates(ModelSpace.model_validate(tree))}
    assert list(found) == [
        *("user", "kind", "query", "hour", "rank", "price"),
        *("pair_count_1d", "pair_seconds_1d", "pair_count_all", "pair_seconds_all", "pair_recency"),
        *("taste_count_all", "dwell", "views"),
    ]
    assert [found[name].kind for name in ("query", "dwell", "views")] == ["categorical", "dense", "sequence"]
    assert found["rank"].domains == ("feed",)
    assert {name for name, part in found.items() if part.cost.storage} == {n for n in NAMES if n.startswith("pair_")}
    assert found["dwell"].cost.compute == 2


@given(st.sets(st.sampled_from(NAMES)))
def test_a_narrowed_space_has_these_features_in_their_order(names: set[str]) -> None:
    small = narrowed(SPACE, names)
    assert [candidate.name for candidate in candidates(small)] == [name for name in NAMES if name in names]
    # Each column is what it was.
    assert set(categorical_columns(small)) <= set(categorical_columns(SPACE))
    assert set(dense_columns(small)) <= set(dense_columns(SPACE))
    assert all(column in sequence_columns(SPACE) for column in sequence_columns(small))
    assert narrowed(small, names) == small


def test_a_history_that_keeps_no_column_is_gone() -> None:
    assert list(narrowed(SPACE, ["pair_recency"]).features.history) == ["pair"]
    assert narrowed(SPACE, ["user"]).features.history == {}


def test_a_ratio_brings_what_it_divides() -> None:
    assert with_parts(SPACE, ["dwell", "user"]) == {"dwell", "user", "pair_seconds_all", "pair_count_all"}
    assert with_parts(SPACE, ["user"]) == {"user"}


def test_a_history_may_declare_which_columns_it_has() -> None:
    tree = declaration()
    del tree["features"]["ratio"]
    tree["features"]["history"]["pair"]["measures"] = ["count_1d", "recency"]
    names = [candidate.name for candidate in candidates(ModelSpace.model_validate(tree))]
    assert [name for name in names if name.startswith("pair")] == ["pair_count_1d", "pair_recency"]
