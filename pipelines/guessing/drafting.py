"""From the roles of all tables to the whole draft of a space file."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.guessing import entries
from pipelines.guessing.columns import Column
from pipelines.guessing.draft import Declared, Draft, File, Named, Objective
from pipelines.guessing.features import CODES, Features, declared, is_categorical, renamed, types, usable
from pipelines.guessing.labels import Label, is_answer, labels
from pipelines.guessing.names import FEEDBACK, VALUE, is_id, plain, says, words
from pipelines.guessing.objectives import from_label, objective
from pipelines.guessing.roles import Facts, Roles, assign
from pipelines.guessing.samples import Sample
from pipelines.guessing.splits import guess_splits
from pipelines.guessing.tables import Log, understand
from schemas.duration import parse_duration
from schemas.errors import LatticeError
from schemas.space import ColumnType

_HORIZONS = ("1d", "7d", "28d")


def draft(samples: Sequence[Sample], name: str, folder: Path, zone: str) -> Draft:
    """What a space file in ``folder`` would say of the tables; times without a zone are of ``zone``.

    Raises:
        LatticeError: no table tells who saw what and when, or none tells what they did.
    """
    tables = understand(tuple(samples), zone)
    roles = assign(tables)
    shown = [log for log, _ in roles.impressions]
    found = {log.name: labels(log) for log in shown}
    derived = [label for log in shown for label in found[log.name]] if not roles.feedback else []
    if not roles.feedback and not derived:
        raise _no_feedback(shown)
    first, last = _range(shown)
    longest = (last - first) / 4
    features = Features()
    domains, kept = _domains(roles, derived, folder)
    names = tuple(domain.name for domain in domains)
    objectives = [objective(answer, names, longest, folder, zone) for answer in roles.feedback]
    objectives += [from_label(label, label.log.name, folder) for label in derived]
    _add_ids(features, roles)
    _add_columns(features, kept, names)
    _add_hours(features, shown, zone)
    attributes = [_attributes(facts, features, folder) for facts in roles.attributes]
    events = [_events(log, folder) for log in [*(a.table for a in roles.feedback), *(log for log, _ in roles.events)]]
    events += [_answers(label, one.file) for label, one in zip(derived, objectives[len(roles.feedback) :], strict=True)]
    windows = tuple(sorted({w for one in objectives for w in one.windows}, key=parse_duration))
    splits = guess_splits(
        *_days(first, last, objectives, zone), max(map(parse_duration, windows), default=timedelta(0))
    )
    doubt = (f"question: {splits.doubt}.",) if splits.doubt else ()
    return Draft(
        name=name,
        read=tuple(f"{entries.relative(s.path, folder)} ({s.extent})" for s in samples),
        time_zone=Named(name="time_zone", value=zone, notes=_zone_notes(_times(shown, roles), zone)),
        left_out=tuple(f"left out: {table.name}, because {why}." for table, why in roles.left_out),
        id_spaces=features.id_spaces,
        domains=domains,
        objectives=objectives,
        events=events,
        attributes=attributes,
        categorical=features.categorical,
        dense=features.dense,
        history=[part for log in events for part in _history(log, last - first)],
        windows=windows,
        validation=splits.validation,
        test=splits.test,
        splits_notes=(
            f"guessed: the last days whose labels are complete{', the longest window between' if windows else ''}.",
            *doubt,
        ),
    )


def _no_feedback(shown: Sequence[Log]) -> LatticeError:
    for log in shown:
        for column in usable(log.others)[0]:
            values = column.ids.to_pylist() if is_categorical(column) else []
            if len(values) <= CODES and any(says(value, FEEDBACK) for value in values):
                return LatticeError(
                    str(log.sample.path),
                    f"Its column '{column.name}' tells impressions from feedback ({entries.listed(sorted(values))}).",
                    "Write the rows of each value as a table of its own, named after it, and give all of them.",
                )
    return LatticeError(
        ", ".join(str(log.sample.path) for log in shown),
        "No table says what users did with what they saw.",
        "Give a table of clicks, orders or the like with user, item and time; or call a column of 0 and 1 'clicked'.",
    )


def _times(shown: Sequence[Log], roles: Roles) -> list[Column]:
    return [log.time for log in [*shown, *(a.table for a in roles.feedback), *(log for log, _ in roles.events)]]


def _range(shown: Sequence[Log]) -> tuple[datetime, datetime]:
    ranges = [log.time.range for log in shown]
    return min(start for start, _ in ranges), max(end for _, end in ranges)


def _days(first: datetime, last: datetime, objectives: Sequence[Objective], zone: str) -> tuple[date, date]:
    """The first local day of impressions, and the last whose labels are all complete."""
    local = ZoneInfo(zone)
    complete = [one.observed[1] - max(map(parse_duration, one.windows), default=timedelta(0)) for one in objectives]
    ends = min(complete).astimezone(local)
    return first.astimezone(local).date(), min(ends.date() - timedelta(days=1), last.astimezone(local).date())


def _zone_notes(times: Sequence[Column], zone: str) -> tuple[str, ...]:
    local = [c.name for c in times if c.local]
    if local and zone == "UTC":
        names = entries.listed(sorted(set(local)))
        return (
            f"question: of which zone are {names}, which have none, and the days of the splits? With another, run "
            "`lattice init --time-zone ZONE` again: the ranges below follow from it.",
        )
    return ("question: is this the zone of hours and weekdays, and of the splits' days?",)


def _domains(
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
            file = replace(file, path=label.impressions_path, format=label.ending, notes=(asked, *_but(file.notes)))
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


def _add_ids(features: Features, roles: Roles) -> None:
    logs = [
        *(log for log, _ in roles.impressions),
        *(a.table for a in roles.feedback),
        *(log for log, _ in roles.events),
    ]
    for of, columns in (("user_id", [log.user for log in logs]), ("item_id", [log.item for log in logs])):
        keys = [facts.key for facts in roles.attributes if facts.of == of]
        features.add_ids(_entity(columns[0].name), {"column": of}, [*columns, *keys])


def _entity(name: str) -> str:
    """``customer_id`` -> customer."""
    return plain("_".join(word for word in words(name) if not is_id(word)), "id")


def _add_columns(features: Features, kept: dict[str, dict[str, Column]], domains: Sequence[str]) -> None:
    where: dict[str, dict[str, Column]] = defaultdict(dict)
    for domain, columns in kept.items():
        for name, column in columns.items():
            where[name][domain] = column
    for name, columns in where.items():
        only = {} if len(columns) == len(domains) else {"domains": list(columns)}
        features.add(name, {"column": name, **only}, columns.values())


def _add_hours(features: Features, shown: Sequence[Log], zone: str) -> None:
    """Hour, if times have one, and weekday share one id space."""
    hours = (pc.hour(log.time.values.cast(pa.timestamp("us", zone))) for log in shown)
    clocks = [pc.any(pc.not_equal(hour, 0)).as_py() for hour in hours]
    parts = [*(["hour"] if any(clocks) else []), "weekday"]
    space = features.name("calendar")
    features.id_spaces.append(Named(name=space, value=64))
    features.categorical += [
        Named(name=features.name(part), value={"calendar": part, "id_space": space}) for part in parts
    ]


def _attributes(facts: Facts, features: Features, folder: Path) -> Declared:
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


def _events(log: Log, folder: Path) -> Declared:
    """A log with its amounts."""
    amounts = [c for c in usable(log.others)[0] if c.type in ("long", "double") and not is_categorical(c)]
    columns = declared(c for c in amounts if says(c.name, VALUE) or c.type == "double")
    file = entries.events_file(log, folder)
    return Declared(
        name=log.name, columns=types(columns), file=replace(file, columns={**file.columns, **renamed(columns)})
    )


def _answers(label: Label, feedback: File) -> Declared:
    """The events of a label's column, in the table that it will be written to."""
    columns = {"event_time" if ours == "feedback_time" else ours: theirs for ours, theirs in feedback.columns.items()}
    columns.pop("source_key", None)
    return Declared(name=label.name, columns={}, file=replace(feedback, columns=columns))


def _history(events: Declared, span: timedelta) -> list[Named]:
    """Counts, sums and recency of the pair, the user and the item, over horizons that the data is long enough for."""
    horizons = [*(h for h in _HORIZONS if 2 * parse_duration(h) <= span), "all"]
    parts: list[Named] = []
    for part, keys in (("pair", ["user_id", "item_id"]), ("user", ["user_id"]), ("item", ["item_id"])):
        value: dict[str, Any] = {"events": events.name, "keys": keys, "horizons": horizons}
        if events.columns and part == "user":
            value["sums"] = list(events.columns)
        parts.append(Named(name=f"{events.name}_{part}", value=value))
    return parts
