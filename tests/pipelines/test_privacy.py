"""Privacy rules: what is recorded in one domain never shows in the rows of another that must not share it."""

import hashlib
import hmac
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xxhash
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from pipelines.attribution import available_outcomes, zipped
from pipelines.concatenation import memory, unified
from pipelines.keyed import VARIABLE, keyed_hash
from pipelines.privacy import creditable, side_keys
from pipelines.spans import Span
from pipelines.zipper import group_window
from schemas.errors import LatticeError
from schemas.features import categorical_columns, dense_columns
from schemas.privacy import feature_domains, in_force, sides
from schemas.space import ModelSpace

DOMAINS = ("web", "app", "store")
OBSERVED = {"from": "2024-01-01T00:00:00Z", "to": "2024-03-01T00:00:00Z"}
NOON = datetime(2024, 1, 10, 12, tzinfo=UTC)
EVENT = "user_id string, item_id string, event_time timestamp, arrival_time timestamp"
Rule = tuple[str, str, tuple[str, ...]]


def declaration(rules: Sequence[Rule] = ()) -> dict[str, Any]:
    """Three domains with a log of each, facts about users that the web knows, and about items that the app knows."""
    features: dict[str, Any] = {
        "categorical": {
            "user": {"column": "user_id", "id_space": "id"},
            "item": {"column": "item_id", "id_space": "id"},
            "country": {"attribute": "person.country", "id_space": "id"},
        },
        "dense": {"price": {"attribute": "thing.price"}},
        "history": {},
        "ratio": {"share": {"numerator": "web_pair_count_all", "denominator": "web_item_count_all"}},
        "sequence": {},
    }
    for domain in DOMAINS:
        seen = {"events": f"seen_{domain}", "recency": False}
        features["history"] |= {
            f"{domain}_pair": {**seen, "keys": ["user_id", "item_id"]},
            f"{domain}_item": {**seen, "keys": ["item_id"]},
        }
        ids = {"item": {"column": "item_id", "id_space": "id"}}
        features["sequence"][f"{domain}_last"] = {"events": f"seen_{domain}", "length": 3, "ids": ids, "age": False}
    features["history"]["country"] = {"events": "seen_web", "keys": ["person.country"], "recency": False}
    every = {"domains": DOMAINS, "windows": ["1d"], "observed": OBSERVED, "origin": "row"}
    return {
        "name": "three",
        "id_spaces": {"id": 64},
        "domains": {domain: {} for domain in DOMAINS},
        "objectives": {
            "click": {"domains": DOMAINS, "match": "impression", "observed": OBSERVED},
            "buy": every,
            "call": {**every, "attribution": "last"},
        },
        "events": {f"seen_{domain}": {"origin": [domain]} for domain in DOMAINS},
        "attributes": {
            "person": {"key": "user_id", "columns": {"country": "string"}, "origin": ["web"]},
            "thing": {"key": "item_id", "columns": {"price": "double"}, "origin": ["app"]},
        },
        "features": features,
        "groups": {"all": {"windows": ["1d"]}},
        "privacy": [{"between": [one, other], "forbid": forbid} for one, other, forbid in rules],
        "splits": {
            "validation": {"from": "2024-02-01", "to": "2024-02-07"},
            "test": {"from": "2024-02-10", "to": "2024-02-16"},
        },
    }


def three(*rules: Rule) -> ModelSpace:
    return ModelSpace.model_validate(declaration(list(rules)))


@dataclass(frozen=True)
class World:
    """What was recorded: (domain, user, item, time) each, and facts."""

    shown: list[tuple[str, str, str, datetime]]
    seen: list[tuple[str, str, str, datetime]]
    answered: list[tuple[str, str, str, str, datetime]]
    """With the objective after the domain."""
    countries: dict[str, str]
    prices: dict[str, float]


def world() -> World:
    choose = random.Random(3)

    def rows(count: int) -> list[tuple[str, str, str, datetime]]:
        # No two of a table at one instant: events of one instant are ordered by the hash of their names.
        moments = [NOON + timedelta(hours=choose.randrange(72), seconds=n) for n in range(count)]
        return [(choose.choice(DOMAINS), choose.choice("uvw"), choose.choice("xy"), moment) for moment in moments]

    return World(
        rows(36),
        rows(90),
        [(d, choose.choice(["buy", "call"]), u, i, t) for d, u, i, t in rows(80)],
        {"u": "DE", "v": "FR", "w": "DE"},
        {"x": 1.5, "y": 2.5},
    )


def changed(before: World, domain: str) -> World:
    """Everything that was recorded in a domain, beside its impressions, is different."""
    return replace(
        before,
        seen=[row for row in before.seen if row[0] != domain] + [(domain, "v", "y", NOON)] * 7,
        answered=[row for row in before.answered if row[0] != domain],
        countries=dict.fromkeys(before.countries, "IT") if domain == "web" else before.countries,
        prices=dict.fromkeys(before.prices, 9.0) if domain == "app" else before.prices,
    )


def renamed(before: World, domain: str) -> World:
    """In that domain, users have each other's names."""
    turn = dict(zip("uvw", "vwu", strict=True))
    return replace(
        before,
        shown=[(d, turn[u] if d == domain else u, i, t) for d, u, i, t in before.shown],
        seen=[(d, turn[u] if d == domain else u, i, t) for d, u, i, t in before.seen],
        answered=[(d, o, turn[u] if d == domain else u, i, t) for d, o, u, i, t in before.answered],
        countries={turn[u]: c for u, c in before.countries.items()} if domain == "web" else before.countries,
    )


def worlds_of(spark: SparkSession, space: ModelSpace, worlds: Mapping[str, World]) -> dict[str, pd.DataFrame]:
    """Of each world its features and labels as the builds make them, one row an impression.

    All in one run of Spark: users, items and countries are named after their world, so none meets those of another.
    Hashes are turned back into the names that they are of.
    """
    shown, seen, countries, prices = [], [], [], []
    answered: list[tuple[object, ...]] = []
    for number, (name, found) in enumerate(worlds.items()):
        named = [(1000 * number + n, d, name + u, name + i, t) for n, (d, u, i, t) in enumerate(found.shown)]
        shown += named
        seen += [(d, name + u, name + i, t, t) for d, u, i, t in found.seen]
        answered += [(o, name + u, name + i, t, t, None, d) for d, o, u, i, t in found.answered]
        answered += [("click", u, i, t, t, n, d) for n, d, u, i, t in named if n % 4 == 0]
        countries += [(name + user, name + country) for user, country in found.countries.items()]
        prices += [(name + item, price) for item, price in found.prices.items()]
    impressions = spark.createDataFrame(
        shown, "impression_id long, domain string, user_id string, item_id string, impression_time timestamp"
    )
    log = spark.createDataFrame(seen, f"domain string, {EVENT}").localCheckpoint()
    events = {f"seen_{domain}": log.where(F.col("domain") == domain).drop("domain") for domain in DOMAINS}
    attributes = {
        "person": spark.createDataFrame(countries, "user_id string, country string"),
        "thing": spark.createDataFrame(prices, "item_id string, price double"),
    }
    feedback = spark.createDataFrame(
        answered,
        "objective string, user_id string, item_id string, feedback_time timestamp, arrival_time timestamp, "
        "impression_id long, origin string",
    )
    keys, span = side_keys(space, "all"), Span(None, NOON + timedelta(days=10))
    known = memory(events, attributes, space, span)
    rows = group_window(unified(impressions, known, attributes, space, span, keys), space, "all").localCheckpoint()
    outcomes = available_outcomes(rows, creditable(feedback, space, "all", keys), space, "all", span)
    labelled = zipped(rows, outcomes, space, "all", span).toPandas().sort_values("impression_id", ignore_index=True)
    raw = {f"{name}{part}" for name in worlds for part in (*"uvwxy", "DE", "FR", "IT")}
    # What the user of each side is called: by another HMAC than Spark's.
    called = {
        hmac.new(key, user.encode(), hashlib.sha256).hexdigest()[:32]: user for key in keys.values() for user in raw
    }
    called |= {user: user for user in raw if not keys}
    hashes = {hashed(text): called.get(text, text)[1:] for text in (*raw, *called)} | {0: None}
    labelled["side"] = labelled["user_id"]
    labelled["user_id"] = [called[user][1:] for user in labelled["user_id"]]
    labelled["item_id"] = labelled["item_id"].str[1:]
    for column in ("item", "country"):
        labelled[column] = labelled[column].map(hashes)
    for domain in DOMAINS:
        packed = labelled[f"{domain}_last_item"]
        labelled[f"{domain}_last_item"] = [[hashes[h] for h in np.frombuffer(b, "<i8")] for b in packed]
    worlds_of_rows = labelled["impression_id"] // 1000
    labelled["impression_id"] %= 1000
    labelled = labelled.drop(columns="window")
    return {name: labelled[worlds_of_rows == number].reset_index(drop=True) for number, name in enumerate(worlds)}


def hashed(text: str) -> int:
    """XXH64 of the id space and the text, as a signed number."""
    salted = xxhash.xxh64(b"id", seed=42).intdigest()
    return int(np.uint64(xxhash.xxh64(text.encode(), seed=salted).intdigest()).astype(np.int64))


LABELS = ["label_click", "label_buy", "label_call"]


def features_of(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.drop(columns=[*LABELS, "user_id", "user", "side"])


@pytest.fixture(scope="module", autouse=True)
def quick(spark: SparkSession) -> Iterator[None]:
    """A key; and for tables of some dozen rows no compiled code and few groups, which would take most of the time."""
    settings = {"spark.sql.codegen.wholeStage": "false", "spark.sql.codegen.factoryMode": "NO_CODEGEN"}
    before = {name: spark.conf.get(name) for name in settings}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, "k" * 40)
        patch.setattr("pipelines.event_memory._GROUPS", 3)
        for name, value in settings.items():
            spark.conf.set(name, value)
        yield
    for name, was in before.items():
        spark.conf.set(name, str(was))


KINDS = ("users", "features", "labels")
RULES = st.lists(
    st.tuples(
        st.permutations(DOMAINS).map(lambda order: order[:2]),
        st.lists(st.sampled_from(KINDS), min_size=1, unique=True),
    ).map(lambda drawn: (*drawn[0], tuple(drawn[1]))),
    min_size=1,
    max_size=2,
)


@given(rules=RULES)
@example(rules=[("web", "app", KINDS)])
# Not shrunk: every world is a run of Spark.
@settings(
    max_examples=2,
    deadline=None,
    derandomize=True,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)
def test_what_is_forbidden_never_reaches_a_row(spark: SparkSession, rules: list[Rule]) -> None:
    """Whatever is done to the data of one domain, nothing of it shows in the other's rows."""
    before = world()
    worlds = {"0": before}
    worlds |= {str(1 + n): changed(before, domain) for n, domain in enumerate(DOMAINS)}
    worlds |= {str(4 + n): renamed(before, domain) for n, domain in enumerate(DOMAINS)}
    found = worlds_of(spark, three(*rules), worlds)
    rows = found["0"]
    for a, b, forbid in rules:
        for one, other in ((a, b), (b, a)):
            mine, theirs = rows["domain"] == other, rows["domain"] == one
            assert mine.sum() > 5
            after = found[str(1 + DOMAINS.index(one))]
            if "features" in forbid:
                pd.testing.assert_frame_equal(features_of(rows[mine]), features_of(after[mine]))
            if "labels" in forbid:
                pd.testing.assert_frame_equal(rows.loc[mine, LABELS], after.loc[mine, LABELS])
            if "users" in forbid:
                after = found[str(4 + DOMAINS.index(one))]
                kept = [column for column in rows if column not in ("side", "user")]
                pd.testing.assert_frame_equal(rows.loc[mine, kept], after.loc[mine, kept])
                for name in ("side", "user"):
                    assert not set(rows.loc[mine, name]) & set(rows.loc[theirs, name])


def test_without_a_rule_all_of_it_reaches_every_row(spark: SparkSession) -> None:
    """The test above would pass for rows that hold nothing at all."""
    before = world()
    rows, after = worlds_of(spark, three(), {"0": before, "1": changed(before, "web")}).values()
    app = rows["domain"] == "app"
    for column in ("web_pair_count_all", "web_item_count_all", "web_last_item", "country", "country_count_all", "share",
                   "label_buy", "label_call"):  # fmt: skip
        assert not rows.loc[app, column].equals(after.loc[app, column]), column
    assert set(rows["side"]) == {"0u", "0v", "0w"}


def test_a_rule_takes_nothing_that_it_does_not_name(spark: SparkSession) -> None:
    """Web and app share neither features nor labels: of the store nothing is taken, and web keeps its own."""
    rule = ("web", "app", ("features", "labels"))
    free, ruled = (worlds_of(spark, space, {"0": world()})["0"] for space in (three(), three(rule)))
    store, web, app = (ruled["domain"] == domain for domain in ("store", "web", "app"))
    pd.testing.assert_frame_equal(free[store], ruled[store])
    kept = [column for column in map(str, free) if column.startswith(("web_", "store_", "country"))]
    pd.testing.assert_frame_equal(free.loc[web, kept], ruled.loc[web, kept])
    assert (ruled.loc[app, "web_item_count_all"] == 0).all()
    assert ruled.loc[app, "country"].isna().all()
    assert (ruled.loc[web, "price"] == 0).all()
    assert ruled.loc[app, "label_buy"].sum() < free.loc[app, "label_buy"].sum()
    assert ruled.loc[app, "label_buy"].sum() > 0


def test_the_keyed_hash_is_hmac_sha256(spark: SparkSession) -> None:
    names = ["u1", "Zoë", "", "a" * 200]
    for key in (b"k" * 32, b"short"):
        frame = spark.createDataFrame([(name,) for name in names], "name string")
        found = [row[0] for row in frame.select(keyed_hash(key, F.col("name"))).collect()]
        assert found == [hmac.new(key, name.encode(), hashlib.sha256).hexdigest() for name in names]


@pytest.mark.parametrize("secret", ["", "too short"])
def test_a_rule_about_users_needs_a_key(monkeypatch: pytest.MonkeyPatch, secret: str) -> None:
    monkeypatch.setenv(VARIABLE, secret)
    with pytest.raises(LatticeError, match=VARIABLE):
        side_keys(three(("web", "app", ("users",))), "all")
    assert side_keys(three(("web", "app", ("features",))), "all") == {}


def test_sides_and_features_of_a_rule_by_hand() -> None:
    space = three(("web", "app", ("users",)), ("app", "store", ("features",)))
    assert sides(space) == {"web": 0, "app": 1, "store": 0}
    history, facts = space.features.history, space.features.categorical
    assert feature_domains(space, history["web_pair"]) == ("web", "store")
    assert feature_domains(space, history["web_item"]) == ("web", "app", "store")
    assert feature_domains(space, history["store_item"]) == ("web", "store")
    assert feature_domains(space, facts["country"]) == ("web", "store")
    assert feature_domains(space, space.features.ratio["share"]) == ("web", "store")
    assert feature_domains(space, space.features.dense["price"]) == ("web", "app")
    named = {column.name: column.domains for column in dense_columns(space)}
    assert named["web_pair_count_all"] == ("web", "store")
    assert {column.name: column.domains for column in categorical_columns(space)}["country"] == ("web", "store")
    sentences = in_force(space, "all")
    assert sentences[:2] == ["web and app share no users", "app and store share no features"]
    assert "web_pair is not in app" in sentences
    assert in_force(three(), "all") == []


def refused(change: dict[str, Any], *rules: Rule) -> str:
    declared = declaration(list(rules))
    for path, value in change.items():
        section, name, field = path.split(".")
        declared[section][name] = {**declared[section][name], field: value}
    with pytest.raises(ValidationError) as error:
        ModelSpace.model_validate(declared)
    return str(error.value)


def test_what_a_rule_needs_to_know_must_be_declared() -> None:
    share = ("web", "app", ("features",))
    assert "its rows were recorded" in refused({"events.seen_web.origin": None}, share)
    assert "its rows were recorded" in refused({"attributes.thing.origin": None}, share)
    assert "its rows were recorded" in refused({"attributes.person.origin": None}, ("web", "app", ("users",)))
    assert "its rows were recorded" in refused({"objectives.buy.origin": None}, ("web", "app", ("labels",)))
    assert "keep feedback recorded in 'web'" in refused({"objectives.buy.origin": ["web"]}, ("web", "app", ("labels",)))
    assert "leave no domain" in refused(
        {"events.seen_store.origin": ["web", "app"]}, share, ("store", "web", ("features",))
    )
    assert "unknown domain" in refused({"events.seen_web.origin": ["mars"]}, share)
    assert "two different domains" in refused({}, ("web", "web", ("users",)))
    # Without a rule nobody need say it; facts of no domain may go everywhere.
    for origin, rules in ((None, []), ([], [share])):
        declared = declaration(rules)
        declared["attributes"]["thing"]["origin"] = origin
        space = ModelSpace.model_validate(declared)
        assert feature_domains(space, space.features.dense["price"]) == DOMAINS
