"""A small two-domain space for transforms, nothing like the shipped one."""

from typing import Any

from schemas.space import ModelSpace

OBSERVED = {"from": "2024-01-01T00:00:00Z", "to": "2024-03-01T00:00:00Z"}


def declaration() -> dict[str, Any]:
    return {
        "name": "small",
        "time_zone": "Europe/Berlin",
        "id_spaces": {"user": 64, "item": 64, "kind": 16, "clock": 32},
        "domains": {"feed": {"columns": {"rank": "long"}}, "search": {"columns": {"query": "string"}}},
        "objectives": {
            "click": {"domains": ["feed", "search"], "match": "impression", "observed": OBSERVED},
            "buy": {"domains": ["search"], "windows": ["1d", "7d"], "observed": OBSERVED},
        },
        "events": {"views": {"columns": {"seconds": "double"}}},
        "attributes": {"item": {"key": "item_id", "columns": {"kind": "string", "price": "double"}}},
        "features": {
            "categorical": {
                "user": {"column": "user_id", "id_space": "user"},
                "kind": {"attribute": "item.kind", "id_space": "kind"},
                "query": {"column": "query", "id_space": "item", "domains": ["search"]},
                "hour": {"calendar": "hour", "id_space": "clock"},
            },
            "dense": {
                "rank": {"column": "rank", "domains": ["feed"]},
                "price": {"attribute": "item.price"},
            },
            "history": {
                "pair": {
                    "events": "views",
                    "keys": ["user_id", "item_id"],
                    "horizons": ["1d", "all"],
                    "sums": ["seconds"],
                },
                "taste": {"events": "views", "keys": ["user_id", "item.kind"], "recency": False},
            },
            "ratio": {"dwell": {"numerator": "pair_seconds_all", "denominator": "pair_count_all"}},
            "sequence": {
                "views": {
                    "events": "views",
                    "length": 3,
                    "ids": {"kind": {"column": "item.kind", "id_space": "kind"}},
                    "dense": ["seconds"],
                    "domains": ["search"],
                }
            },
        },
        "groups": {"all": {"windows": ["1d", "7d"]}},
        "splits": {
            "validation": {"from": "2024-02-01", "to": "2024-02-07"},
            "test": {"from": "2024-02-10", "to": "2024-02-16"},
        },
    }


def small_space() -> ModelSpace:
    return ModelSpace.model_validate(declaration())
