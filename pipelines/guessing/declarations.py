"""Domains, events and attributes: what each table declares, and where it lies."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from pipelines.guessing import entries
from pipelines.guessing.columns import Column
from pipelines.guessing.draft import Declared, File, Named
from pipelines.guessing.features import Features, declared, is_categorical, renamed, types, usable
from pipelines.guessing.labels import Label, is_answer
from pipelines.guessing.names import VALUE, says
from pipelines.guessing.roles import Facts, Roles
from pipelines.guessing.tables import Log
from schemas.duration import parse_duration
from schemas.space import ColumnType

_HORIZONS = ("1d", "7d", "28d")


def domains_of(
    roles: Roles, derived: Sequence[Label], folder: Path
) -> tuple[list[Declared], dict[str, dict[str, Column]]]:
    """The domains, and the columns of each that become features, under the names that they are declared by."""
    keyed = {label.log.name: label for label in derived if label.impressions_path}
    domains, kept, kinds = [], {}, dict[str, ColumnType]()
    for log, why in roles.impressions:
        answers = [c for c in log.others if c is not log.key and is_answer(c)]
        chosen, out = usable(c for c in log.others if c is not log.key and c not in answers)
        columns = declared(chosen)
        for name in [name for name, c in columns.items() if kinds.get(name, c.type) != c.type]:
            columns[f"{log.name}_{name}"] = columns.pop(name)
        kinds |= types(columns)
        kept[log.name] = columns
        file = entries.impressions_file(log, folder)
        if log.name in keyed:
            label = keyed[log.name]
            asked = "question: this table has no key of its own; the command below writes it again with one."
            said = (asked, *_but(file.notes))
            file = replace(file, path=label.impressions_path, format=label.ending, separator=",", notes=said)
        notes = [f"guessed: these are impressions, because {why}."]
        notes += [f"left out: {', '.join(out)}."] if out else []
        if answers:
            told = entries.listed([c.name for c in answers])
            notes.append(
                f"left out: {told}, known only after the impression, as the name says; an answer is no feature."
            )
        domains.append(
            Declared(
                name=log.name,
                columns=types(columns),
                file=replace(file, columns={**file.columns, **renamed(columns)}),
                notes=tuple(notes),
            )
        )
    return domains, kept


def _but(notes: Sequence[str]) -> tuple[str, ...]:
    """A table with a key may repeat a user, an item and a time."""
    return tuple(note for note in notes if "repeat another's" not in note)


def attributes_of(facts: Facts, features: Features, folder: Path) -> Declared:
    """A table of attributes, whose columns are added to the features."""
    chosen, out = usable(c for c in facts.table.columns.values() if c is not facts.key)
    columns = declared(chosen)
    for name, column in columns.items():
        wanted = name if name not in features.taken else f"{facts.table.name}_{name}"
        features.add(wanted, {"attribute": f"{facts.table.name}.{name}"}, [column])
    file = entries.attributes_file(facts, folder)
    return Declared(
        name=facts.table.name,
        key=facts.of,
        columns=types(columns),
        file=replace(file, columns={**file.columns, **renamed(columns)}),
        notes=(f"left out: {', '.join(out)}.",) if out else (),
    )


def events_of(log: Log, folder: Path) -> Declared:
    """A log with its amounts."""
    amounts = [c for c in usable(log.others)[0] if c.type in ("long", "double") and not is_categorical(c)]
    columns = declared(c for c in amounts if says(c.name, VALUE) or c.type == "double")
    file = entries.events_file(log, folder)
    return Declared(
        name=log.name, columns=types(columns), file=replace(file, columns={**file.columns, **renamed(columns)})
    )


def answers_of(name: str, feedback: File) -> Declared:
    """The events of a label's column, in the table that it will be written to."""
    columns = {"event_time" if ours == "feedback_time" else ours: theirs for ours, theirs in feedback.columns.items()}
    columns.pop("source_key", None)
    return Declared(name=name, columns={}, file=replace(feedback, columns=columns))


def history_of(events: Declared, span: timedelta) -> list[Named]:
    """Counts, sums and recency of the pair, the user and the item, over horizons that the data is long enough for."""
    horizons = [*(h for h in _HORIZONS if 2 * parse_duration(h) <= span), "all"]
    parts: list[Named] = []
    for part, keys in (("pair", ["user_id", "item_id"]), ("user", ["user_id"]), ("item", ["item_id"])):
        value: dict[str, Any] = {"events": events.name, "keys": keys, "horizons": horizons}
        if events.columns and part == "user":
            value["sums"] = list(events.columns)
        parts.append(Named(name=f"{events.name}_{part}", value=value))
    return parts
