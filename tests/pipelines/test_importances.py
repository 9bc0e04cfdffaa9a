"""From rows of the importance table to arrays."""

import math
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pytest

from pipelines.importances import importances
from schemas.errors import LatticeError
from tests.pipelines.importance_rows import COMPUTED_AT, Measured, importance_table
from tests.pipelines.space import small_space

SPACE = small_space()
FEED, SEARCH, BUY = "feed/click", "search/click", "search/buy"
MEASURED: Measured = {
    "user": {FEED: (0.5, 0.1), SEARCH: (0.4, 0.1), BUY: (0.3, 0.2)},
    "rank": {FEED: (0.2, 0.05)},  # feed alone has it
    "views": {SEARCH: (0.1, 0.01), BUY: (-0.1, 0.02)},  # search alone has it
}


def test_a_task_whose_domain_lacks_a_feature_has_importance_0() -> None:
    found = importances(importance_table(MEASURED, SPACE), SPACE)
    assert found.tasks == (("feed", "click"), ("search", "click"), ("search", "buy"))
    by_name = dict(
        zip(found.names, zip(found.means.tolist(), found.standard_errors.tolist(), strict=True), strict=True)
    )
    assert by_name["user"] == ([0.5, 0.4, 0.3], [0.1, 0.1, 0.2])
    assert by_name["rank"] == ([0.2, 0, 0], [0.05, 0, 0])
    assert by_name["views"] == ([0, 0.1, -0.1], [0, 0.01, 0.02])
    assert by_name["pair_count_1d"] == ([0, 0, 0], [0, 0, 0])
    assert {name for name, known in zip(found.names, found.measured, strict=True) if known} == set(MEASURED)
    assert (found.model, found.data_version, found.rows, found.repeats) == ("a_model", 3, 1000, 4)


def test_the_latest_run_counts_unless_another_is_named() -> None:
    later = {"user": {FEED: (7.0, 1.0), SEARCH: (7.0, 1.0)}}
    tables = [
        importance_table(later, SPACE, run_id="a", computed_at=COMPUTED_AT + timedelta(days=1)),
        importance_table(MEASURED, SPACE, run_id="b"),
    ]
    both = pa.concat_tables(tables)
    assert importances(both, SPACE).run_id == "a"
    assert importances(both, SPACE, "b").run_id == "b"
    assert np.isin(7.0, importances(both, SPACE).means)
    with pytest.raises(LatticeError, match=r"--run c\n  There is no such importance run.\n  Known: b, a"):
        importances(both, SPACE, "c")


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"weather": {FEED: (1.0, 0.1)}}, "measured 'weather' .1 such features., which the space does not have"),
        ({"hour": {FEED: (1.0, 0.1), SEARCH: (1.0, 0.1)}}, "'hour' to search/buy\n  It was not measured"),
        ({"hour": {FEED: (1.0, 0.1), SEARCH: (math.nan, 0.1), BUY: (0.0, 0.1)}}, "'hour' to search/click"),
        ({"hour": {FEED: (1.0, 0.1), SEARCH: (math.inf, 0.1), BUY: (0.0, 0.1)}}, "It is infinite"),
        ({"hour": {FEED: (1.0, math.nan), SEARCH: (1.0, 0.1), BUY: (0.0, 0.1)}}, "over two or more repeats"),
        ({"hour": {FEED: (1.0, -1.0), SEARCH: (1.0, 0.1), BUY: (0.0, 0.1)}}, "has no standard error"),
    ],
)
def test_what_cannot_be_selected_from_is_refused_by_name(changed: Measured, says: str) -> None:
    with pytest.raises(LatticeError, match=says):
        importances(importance_table({**MEASURED, **changed}, SPACE), SPACE)


def test_a_group_that_was_measured_as_one_is_refused() -> None:
    table = importance_table({**MEASURED, "pairs": {FEED: (1.0, 0.1)}}, SPACE)
    kinds = ["group" if name == "pairs" else kind for name, kind in zip(*_columns(table), strict=True)]
    grouped = table.set_column(table.schema.get_field_index("kind"), "kind", pa.array(kinds))
    with pytest.raises(LatticeError, match="measured 'pairs' as one feature"):
        importances(grouped, SPACE)


def _columns(table: pa.Table) -> tuple[list[str], list[str]]:
    return table["feature"].to_pylist(), table["kind"].to_pylist()


def test_an_empty_table_is_refused() -> None:
    with pytest.raises(LatticeError, match="Known: none"):
        importances(importance_table(MEASURED, SPACE).slice(0, 0), SPACE)
