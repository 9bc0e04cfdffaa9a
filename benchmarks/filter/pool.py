"""A pool of candidate features: a space file whose histories and ratios are a product of keys, horizons and aggregates.

Users and items, their attributes, the event logs and their columns are the space's own: nothing here knows a data set.
"""

from collections.abc import Iterator
from itertools import product
from typing import Any

from schemas.space import ModelSpace

HORIZONS = ("1d", "3d", "7d", "14d", "28d", "42d", "56d", "91d", "126d", "182d", "all")
RATIO_HORIZONS = ("28d", "91d", "all")
TREND = ("7d", "28d")

Declarations = dict[str, dict[str, Any]]


def pool_features(space: ModelSpace) -> tuple[Declarations, Declarations]:
    """The pool's histories and ratios, as a space file declares them, in place of the space's own.

    A history for each log and each choice of a user key, an item key or both, where a key is the id or an attribute
    that is a string: counts and sums of every number over every horizon, days since the last event and between events.
    The ratios are prices and the like (each sum over the first one), trends of counts, and how overdue the next event
    is.
    """
    histories: Declarations = {}
    ratios: Declarations = {}
    for log, events in space.events.items():
        sums = [name for name, kind in events.columns.items() if kind in ("double", "long")]
        for keys in _keys(space, log):
            name = "_".join([log, *(key.rpartition(".")[2] for key in keys)])
            histories[name] = {
                "events": log, "keys": list(keys), "horizons": list(HORIZONS), "sums": sums, "gap": True,
            }  # fmt: skip
            ratios |= dict(_ratios(name, sums))
    return histories, ratios


def _keys(space: ModelSpace, log: str) -> Iterator[tuple[str, ...]]:
    """Items of a log are those of the impressions if one of the space's own histories of it has an item key."""
    users, items = (
        [(), (own,), *((f"{table}.{column}",) for table, column in _strings(space, own))]
        for own in ("user_id", "item_id")
    )
    of_items = {key for keys in items for key in keys}
    counted = {key for history in space.features.history.values() if history.events == log for key in history.keys}
    for user, item in product(users, items if counted & of_items else [()]):
        if user or item:
            yield (*user, *item)


def _strings(space: ModelSpace, key: str) -> Iterator[tuple[str, str]]:
    for table, attributes in space.attributes.items():
        if attributes.key == key:
            yield from ((table, column) for column, kind in attributes.columns.items() if kind == "string")


def _ratios(name: str, sums: list[str]) -> Iterator[tuple[str, dict[str, str]]]:
    for first, horizon in product(sums[:1], RATIO_HORIZONS):
        for other in sums[1:]:
            yield (
                f"{name}_{other}_per_{first}_{horizon}",
                _over(f"{name}_{other}_{horizon}", f"{name}_{first}_{horizon}"),
            )
    short, long = (f"{name}_count_{horizon}" for horizon in TREND)
    yield f"{name}_trend", _over(short, long)
    yield f"{name}_overdue", _over(f"{name}_recency", f"{name}_gap")


def _over(numerator: str, denominator: str) -> dict[str, str]:
    return {"numerator": numerator, "denominator": denominator}


def pool_space(declared: dict[str, Any], space: ModelSpace, rates: dict[str, float]) -> dict[str, Any]:
    """A space file's content with the pool in place of its own histories and ratios, and a sample ``pool``."""
    histories, ratios = pool_features(space)
    return {
        **declared,
        "features": {**declared["features"], "history": histories, "ratio": ratios},
        "samples": {**declared.get("samples", {}), "pool": {"by": "impressions", "rates": rates}},
    }
