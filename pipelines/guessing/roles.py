"""What each table is for: impressions, feedback, events or attributes; by its name, and by which rows it answers."""

from dataclasses import dataclass, field

import numpy as np

from pipelines.guessing.columns import Column
from pipelines.guessing.delays import Numbers, delays, pair_ids
from pipelines.guessing.names import EVENTS, FEEDBACK, IMPRESSION, ITEM, SURFACE, USER, is_id, says, strength, words
from pipelines.guessing.tables import Log, Table, contained
from schemas.errors import LatticeError

MOST = 0.5
"""So much of a table's pairs must be among the impressions' for it to be an answer to them."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Answer:
    """A log of feedback: the key by which it names the impressions of some domains, or the delays since them."""

    table: Log
    why: str
    key: Column | None = None
    domain: Column | None = None
    answered: tuple[str, ...] = ()
    """The impressions' tables whose keys it names; of several, the column ``domain`` says which."""
    delays: Numbers
    """Since the last impression of the same user and item, in microseconds."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Facts:
    """A table of attributes with its key."""

    table: Table
    key: Column
    of: str
    """``user_id`` or ``item_id``."""


@dataclass(kw_only=True)
class Roles:
    """Every table under what it seems to be for; why, in half a sentence that follows 'because'."""

    impressions: list[tuple[Log, str]] = field(default_factory=list)
    feedback: list[Answer] = field(default_factory=list)
    events: list[tuple[Log, str]] = field(default_factory=list)
    attributes: list[Facts] = field(default_factory=list)
    left_out: list[tuple[Table, str]] = field(default_factory=list)


def assign(tables: list[Table]) -> Roles:
    """Give every table its role.

    Raises:
        LatticeError: no table has a time, or none has a user, an item and a time.
    """
    logs = [table for table in tables if isinstance(table, Log)]
    if not logs:
        raise _no_log(tables)
    roles = Roles(impressions=_impressions(logs))
    shown = [table for table, _ in roles.impressions]
    for table in logs:
        if table in shown:
            continue
        answer = _answer(table, shown)
        if answer is None:
            roles.events.append((table, "most of its users and items never meet in the impressions"))
        elif _named(table) == "events" and answer.key is None:
            roles.events.append((table, "the table's name says so"))
        else:
            roles.feedback.append(answer)
    for other in (table for table in tables if not isinstance(table, Log)):
        facts = _facts(other, logs)
        if facts is not None:
            roles.attributes.append(facts)
        else:
            roles.left_out.append((other, _lacking(other)))
    return roles


def _named(table: Log) -> str:
    """The role that a log's name says; empty if it says none."""
    for role, hints in (
        ("impressions", IMPRESSION),
        ("feedback", FEEDBACK),
        ("impressions", SURFACE),
        ("events", EVENTS),
    ):
        if says(table.name, hints):
            return role
    return ""


def _impressions(logs: list[Log]) -> list[tuple[Log, str]]:
    named = [(table, "the table's name says so") for table in logs if _named(table) == "impressions"]
    if named:
        return named
    if len(logs) == 1:
        return [(logs[0], "it is the only table with a user, an item and a time")]
    # No name says so: what was shown is more than what was answered.
    unnamed = [table for table in logs if not _named(table)] or logs
    return [(max(unnamed, key=lambda table: table.sample.rows.num_rows), "it has the most rows")]


def _answer(table: Log, shown: list[Log]) -> Answer | None:
    """The table as feedback on the impressions; None if it is none."""
    pairs = _pairs([*shown, table])
    before, own = np.concatenate(pairs[:-1]), pairs[-1]
    since = delays((before, np.concatenate([_times(one) for one in shown])), (own, _times(table)))
    key, domain, answered = _link(table, shown)
    share = float(np.isin(own, before).mean())
    if key is not None:
        why = f"its {key.name} is among the keys of the impressions"
    elif _named(table) == "feedback":
        why = "the table's name says so"
    elif share >= MOST:
        why = f"the impressions have {share:.0%} of its rows' users with these items"
    else:
        return None
    return Answer(table=table, why=why, key=key, domain=domain, answered=answered, delays=since)


def _link(table: Log, shown: list[Log]) -> tuple[Column | None, Column | None, tuple[str, ...]]:
    """The column that names impressions, the column of their domains where they are of several, and these domains."""
    for column in table.others:
        if not column.can_be_id or not (column.type == "string" or is_id(column.name) or says(column.name, IMPRESSION)):
            continue
        keyed = {one.name: contained(column.ids, one.key.ids) for one in shown if one.key is not None}
        answered = tuple(name for name, share in keyed.items() if share > 0)
        # Of samples that are not whole a part of the answered impressions is unknown.
        enough = 0.9 if all(one.sample.whole for one in (table, *shown)) else 0.01
        if not answered or sum(keyed.values()) < enough:
            continue
        if len(answered) == 1:
            return column, None, answered
        domain = next((c for c in table.others if set(c.ids.to_pylist()) == set(answered)), None)
        if domain is not None:
            return column, domain, answered
    return None, None, ()


def _facts(table: Table, logs: list[Log]) -> Facts | None:
    """The table as attributes: a key, one row each, that logs have as their user or item."""
    found: list[tuple[tuple[bool, tuple[int, int], float], Facts]] = []
    for of, hints in (("user_id", USER), ("item_id", ITEM)):
        used = [log.user if of == "user_id" else log.item for log in logs]
        for key in (column for column in table.columns.values() if column.unique):
            share = max(contained(log.ids, key.ids) for log in used)
            names = {words(log.name) for log in used}
            fit = max(strength(key.name, hints), strength(table.name, hints))
            if share > 0:
                found.append(((words(key.name) in names, fit, share), Facts(table=table, key=key, of=of)))
    return max(found, key=lambda one: one[0], default=(None, None))[1]


def _lacking(table: Table) -> str:
    if table.time is None:
        return "it has neither a time nor a unique key that is a user or an item of another table"
    parts = {"user": table.user, "item": table.item}
    missing = [name for name, column in parts.items() if column is None]
    return (
        f"it has a time, but no column for the {' or the '.join(missing)} was recognised. If it names its impressions "
        "by a key, join user and item from there; if the column is there, name it user_id or item_id"
    )


def _no_log(tables: list[Table]) -> LatticeError:
    places = ", ".join(str(table.sample.path) for table in tables)
    if all(table.time is None for table in tables):
        return LatticeError(
            places,
            "No table has a column of times.",
            "Write times such as 2024-05-01T12:30:00Z or 2024-05-01 12:30:00; one table says who saw what, and when.",
        )
    return LatticeError(
        places,
        "No table has a user, an item and a time; ids must be text or whole numbers.",
        "Give the table of what was shown, and name its columns user_id, item_id and impression_time.",
    )


def _pairs(logs: list[Log]) -> list[Numbers]:
    return pair_ids(*((log.user.texts, log.item.texts) for log in logs))


def _times(log: Log) -> Numbers:
    """Microseconds; a row without a time is as old as can be."""
    return np.asarray(log.time.values.cast("int64").fill_null(0), dtype=np.int64)
