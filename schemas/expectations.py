"""Expectation suites: what must hold in each table before a version of it is published, derived from the space.

Plain data; ``pipelines.quality`` runs them by Great Expectations.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from schemas.duration import format_duration
from schemas.space import ModelSpace

Kind = Literal["not_empty", "not_null", "null_share", "unique", "unique_together", "in_set", "between", "not_before"]
OF_TABLES: tuple[Kind, ...] = ("not_empty", "null_share")
"""Those that no single row breaks."""


@dataclass(frozen=True, kw_only=True)
class Expectation:
    """One condition; ``why`` finishes the sentence 'this matters because'."""

    kind: Kind
    column: str
    why: str
    arguments: dict[str, Any] = field(default_factory=dict)
    domain: str | None = None
    """Whose rows it is about; None for all."""

    @property
    def failure(self) -> str:
        """What is wrong where the condition does not hold."""
        column, arguments = self.column, self.arguments
        least, most = ("" if (end := arguments.get(key)) is None else end for key in ("min_value", "max_value"))
        where = "" if self.domain is None else f" in the domain {self.domain}"
        said = {
            "not_empty": "the table has no rows",
            "not_null": f"{column} is null",
            "null_share": f"{column} is null in more than a share of {arguments.get('most')}",
            "unique": f"{column} is there more than once",
            "unique_together": f"{column} with {arguments.get('with')} is there more than once",
            "in_set": f"{column} is none of {arguments.get('value_set')}",
            "between": f"{column} is not in {least}..{most}",
            "not_before": f"{column} lies before {arguments.get('earlier')}",
        }[self.kind]
        return said + where


def _not_null(*columns: str) -> list[Expectation]:
    why = "a row without it can be neither joined nor attributed"
    return [Expectation(kind="not_null", column=column, why=why) for column in columns]


def _unique(column: str, why: str) -> Expectation:
    return Expectation(kind="unique", column=column, why=why)


def _in_set(column: str, values: list[Any], why: str) -> Expectation:
    return Expectation(kind="in_set", column=column, arguments={"value_set": values}, why=why)


def _not_before(later: str, earlier: str, why: str) -> Expectation:
    return Expectation(kind="not_before", column=later, arguments={"earlier": earlier}, why=why)


def _not_empty(column: str) -> Expectation:
    return Expectation(kind="not_empty", column=column, why="everything after it would be empty too")


_IMPRESSION_KEYS = ("impression_id", "domain", "user_id", "item_id", "impression_time")
_ONCE = "an impression that is there twice would be trained on twice"


def declared_rules(space: ModelSpace, section: str, name: str) -> list[Expectation]:
    """What the space file says of the columns of a raw table: of a domain (``domains``), or of a table by its name."""
    why, domain, found = "quality.columns of the space file says so", name if section == "domains" else None, []
    for place, rule in space.quality.columns.items():
        column = place.rsplit(".", 1)[-1]
        if place != f"{section}.{name}.{column}":
            continue
        if rule.min is not None or rule.max is not None:
            limits = {"min_value": rule.min, "max_value": rule.max}
            found.append(Expectation(kind="between", column=column, arguments=limits, why=why, domain=domain))
        if rule.values is not None:
            values = {"value_set": list(rule.values)}
            found.append(Expectation(kind="in_set", column=column, arguments=values, why=why, domain=domain))
        if rule.nulls is not None:
            most = {"most": rule.nulls}
            found.append(Expectation(kind="null_share", column=column, arguments=most, why=why, domain=domain))
    return found


def impressions_suite(space: ModelSpace) -> list[Expectation]:
    return [
        _not_empty("impression_id"),
        *_not_null(*_IMPRESSION_KEYS, "arrival_time"),
        _unique("impression_id", _ONCE),
        _in_set("domain", list(space.domains), "the space declares no other domain"),
        _not_before("arrival_time", "impression_time", "nothing arrives before it happens"),
        *(rule for domain in space.domains for rule in declared_rules(space, "domains", domain)),
    ]


def feedback_suite(space: ModelSpace) -> list[Expectation]:
    return [
        _not_empty("objective"),
        *_not_null("objective", "user_id", "item_id", "feedback_time", "arrival_time"),
        _in_set("objective", list(space.objectives), "the space declares no other objective"),
        _not_before("arrival_time", "feedback_time", "nothing arrives before it happens"),
        _not_before("feedback_time", "answered_time", "feedback cannot answer an impression that came later"),
    ]


def events_suite(space: ModelSpace, name: str) -> list[Expectation]:
    return [
        _not_empty("user_id"),
        *_not_null("user_id", "item_id", "event_time", "arrival_time"),
        _not_before("arrival_time", "event_time", "nothing arrives before it happens"),
        *declared_rules(space, "events", name),
    ]


def attributes_suite(space: ModelSpace, name: str) -> list[Expectation]:
    key = space.attributes[name].key
    return [
        _not_empty(key),
        *_not_null(key),
        _unique(key, "two rows of one key would double every impression"),
        *declared_rules(space, "attributes", name),
    ]


def unified_suite(space: ModelSpace, group: str) -> list[Expectation]:
    windows = [format_duration(window) for window in space.groups[group].windows]
    return [
        _not_empty("impression_id"),
        *_not_null(*_IMPRESSION_KEYS),
        _unique("impression_id", _ONCE),
        _in_set("domain", list(space.group_domains(group)), "the group has no other domain"),
        *([*_not_null("window"), _in_set("window", windows, "the group has no other window")] if windows else []),
    ]


def _labels(space: ModelSpace, group: str) -> list[Expectation]:
    return [_in_set(f"label_{name}", [0.0, 1.0], "a label is 1, 0 or null") for name in space.group_objectives(group)]


def zipped_suite(space: ModelSpace, group: str) -> list[Expectation]:
    return [
        *unified_suite(space, group),
        *_not_null("available_time"),
        _not_before("available_time", "impression_time", "a label cannot be known before the impression"),
        *_labels(space, group),
    ]


def outcomes_suite() -> list[Expectation]:
    return [*_not_null("impression_id", "available_time")]


def late_suite() -> list[Expectation]:
    return [_not_before("arrival_time", "due_time", "what had arrived when it was due is not late")]


def evaluation_suite(space: ModelSpace, group: str) -> list[Expectation]:
    return [
        _in_set("split", ["validation", "test"], "there are no other splits"),
        *packed_suite(space, group),
    ]


def packed_suite(space: ModelSpace, group: str) -> list[Expectation]:
    domains, windows = len(space.group_domains(group)), len(space.groups[group].windows)
    return [
        _not_empty("impression_id"),
        _unique("impression_id", _ONCE),
        Expectation(
            kind="between",
            column="domain_index",
            arguments={"min_value": 0, "max_value": domains - 1},
            why="it is a position in the manifest's domains",
        ),
        Expectation(
            kind="between",
            column="window_index",
            arguments={"min_value": -1, "max_value": windows - 1},
            why="it is a position in the manifest's windows",
        ),
        *_labels(space, group),
    ]


def selection_suite() -> list[Expectation]:
    return [
        _not_empty("feature"),
        *_not_null("version", "effective_from", "feature", "chosen", "frontier", "reason"),
        _unique("feature", "a selection decides each feature once"),
    ]


def scores_suite(domains: Sequence[str], objectives: Sequence[str], model: str) -> list[Expectation]:
    return [
        _not_empty("impression_id"),
        *_not_null("impression_id", "domain", "objective", "probability", "model"),
        Expectation(
            kind="unique_together",
            column="impression_id",
            arguments={"with": "objective"},
            why="whoever serves could not tell which of two scores counts",
        ),
        _in_set("domain", list(domains), "the model knows no other domain"),
        _in_set("objective", list(objectives), "the model has no other objective"),
        Expectation(
            kind="between",
            column="probability",
            arguments={"min_value": 0.0, "max_value": 1.0},
            why="it is a probability",
        ),
        _in_set("model", [model], "one table holds the scores of one model"),
    ]
