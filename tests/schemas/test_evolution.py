"""Which changes of a space file may come while its tables grow, and which key stands in the way of the others."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from schemas.errors import LatticeError
from schemas.evolution import check_evolution, clashes
from schemas.space import ModelSpace
from tests.pipelines.space import OBSERVED, declaration

THROUGH = datetime(2024, 2, 5, tzinfo=UTC)
Change = Callable[[dict[str, Any]], object]


def found(change: Change, through: datetime = THROUGH) -> list[str]:
    changed = declaration()
    changed["attributes"]["item"]["columns"]["cost"] = "double"
    change(changed)
    old, new = ModelSpace.model_validate(declaration()), ModelSpace.model_validate(changed)
    return [clash.key for clash in clashes(old, new, "all", through)]


def put(*path: str, value: Any) -> Change:
    """Set a key, or take it away where the value is None."""

    def change(space: dict[str, Any]) -> None:
        for key in path[:-1]:
            space = space[key]
        if value is None:
            del space[path[-1]]
        else:
            space[path[-1]] = value

    return change


LATER = {"from": "2024-02-06T00:00:00Z", "to": "2024-03-01T00:00:00Z"}

ALLOWED = {
    "a categorical feature": put("features", "categorical", "day", value={"calendar": "day", "id_space": "clock"}),
    "one taken away": put("features", "categorical", "kind", value=None),
    "a wider id space": put("id_spaces", "item", value=1024),
    "a longer sequence": put("features", "sequence", "views", "length", value=9),
    "a horizon": put("features", "history", "pair", "horizons", value=["1d", "7d", "all"]),
    "more domains of a feature": put("features", "sequence", "views", "domains", value=["feed", "search"]),
    "a column": put("domains", "feed", "columns", "device", value="string"),
    "a domain": put("domains", "mail", value={}),
    "an objective from now on": put(
        "objectives", "share", value={"domains": ["feed"], "match": "impression", "observed": LATER}
    ),
    "a longer observed range": put(
        "objectives", "buy", "observed", value={**OBSERVED, "to": "2024-06-01T00:00:00Z"}
    ),
    "weights of later days": put("groups", "all", "weights", value=[{"from": "2024-02-06", "values": [1, 2]}]),
    "a later test range": put("splits", "test", value={"from": "2024-02-20", "to": "2024-02-24"}),
    "the limit of quarantine": put("quality", value={"quarantine": 0.5}),
    "a title": put("title", value="Another"),
}  # fmt: skip


@pytest.mark.parametrize("change", ALLOWED.values(), ids=ALLOWED)
def test_what_may_change(change: Change) -> None:
    assert found(change) == []


REFUSED = {
    "time_zone": put("time_zone", value="UTC"),
    "domains.feed.columns.rank": put("domains", "feed", "columns", "rank", value="double"),
    "events.views.columns.seconds": put("events", "views", "columns", "seconds", value="long"),
    "attributes.item.columns.kind": put("attributes", "item", "columns", "kind", value="long"),
    "features.categorical.kind.id_space": put("features", "categorical", "kind", "id_space", value="item"),
    "features.dense.price.attribute": put("features", "dense", "price", value={"attribute": "item.cost"}),
    "features.history.taste.keys": put("features", "history", "taste", "keys", value=["item_id"]),
    "features.sequence.views.ids.kind.column": put(
        "features", "sequence", "views", "ids", value={"kind": {"column": "item_id", "id_space": "kind"}}
    ),
    "objectives.buy.attribution": put("objectives", "buy", "attribution", value="last"),
    "objectives.buy.domains": put("objectives", "buy", "domains", value=["search", "feed"]),
    "objectives.click.observed.from": put(
        "objectives", "click", "observed", value={**OBSERVED, "from": "2023-12-01T00:00:00Z"}
    ),
    "objectives.share.observed.from": put(
        "objectives", "share", value={"domains": ["feed"], "match": "impression", "observed": OBSERVED}
    ),
    "groups.all.weights": put("groups", "all", "weights", value=[{"from": "2024-02-05", "values": [1, 2]}]),
}  # fmt: skip


@pytest.mark.parametrize("key", REFUSED)
def test_what_may_not(key: str) -> None:
    assert key in found(REFUSED[key])


def test_a_window_that_changes_is_named_as_it_was() -> None:
    changed = declaration()
    changed["objectives"]["buy"]["windows"] = changed["groups"]["all"]["windows"] = ["1d", "14d"]
    old, new = ModelSpace.model_validate(declaration()), ModelSpace.model_validate(changed)
    with pytest.raises(LatticeError) as refused:
        check_evolution(old, new, "all", THROUGH)
    assert refused.value.place == "objectives.buy.windows"
    assert "It was 1d, 7d in the published rows" in refused.value.problem


def test_a_published_end_of_what_was_observed_stays() -> None:
    longer = put("objectives", "buy", "observed", value={**OBSERVED, "to": "2024-06-01T00:00:00Z"})
    assert found(longer, through=datetime(2024, 3, 2, tzinfo=UTC)) == ["objectives.buy.observed.to"]


def test_a_split_whose_labels_were_not_kept_is_refused() -> None:
    # The longest window is of 7 days: a range from the 1st of February is complete from the 8th on.
    moved = put("splits", "validation", value={"from": "2024-02-02", "to": "2024-02-07"})
    assert found(moved, through=datetime(2024, 2, 8, tzinfo=UTC)) == []
    assert found(moved, through=datetime(2024, 2, 9, tzinfo=UTC)) == ["splits.validation"]
