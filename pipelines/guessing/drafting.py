"""From the roles of all tables to the whole draft of a space file."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.guessing import entries
from pipelines.guessing.columns import Column
from pipelines.guessing.declarations import answers_of, attributes_of, domains_of, events_of, history_of
from pipelines.guessing.draft import Draft, Named, Objective
from pipelines.guessing.features import CODES, Features, is_categorical, usable
from pipelines.guessing.labels import labels
from pipelines.guessing.names import FEEDBACK, is_id, plain, says, words
from pipelines.guessing.objectives import from_label, objective
from pipelines.guessing.roles import Roles, assign
from pipelines.guessing.samples import Sample
from pipelines.guessing.splits import guess_splits
from pipelines.guessing.tables import Log, understand
from schemas.duration import parse_duration
from schemas.errors import LatticeError


def draft(samples: Sequence[Sample], name: str, folder: Path, zone: str) -> Draft:
    """What a space file in ``folder`` would say of the tables; times without a zone are of ``zone``.

    Raises:
        LatticeError: no table tells who saw what and when, or none tells what they did.
    """
    tables = understand(tuple(samples), zone)
    roles = assign(tables)
    shown = [log for log, _ in roles.impressions]
    derived = [label for log in shown for label in labels(log)] if not roles.feedback else []
    if not roles.feedback and not derived:
        raise _no_feedback(shown)
    first, last = _range(shown)
    longest = (last - first) / 4
    features = Features()
    domains, kept = domains_of(roles, derived, folder)
    names = tuple(domain.name for domain in domains)
    objectives = _named_once(
        [
            *(objective(answer, names, longest, folder, zone) for answer in roles.feedback),
            *(from_label(label, label.log.name, folder) for label in derived),
        ]
    )
    _add_ids(features, roles)
    _add_columns(features, kept, names)
    _add_hours(features, shown, zone)
    attributes = [attributes_of(facts, features, folder) for facts in roles.attributes]
    events = [events_of(log, folder) for log in [*(a.table for a in roles.feedback), *(log for log, _ in roles.events)]]
    events += [answers_of(one.name, one.file) for one in objectives[len(roles.feedback) :]]
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
        history=[part for log in events for part in history_of(log, last - first)],
        windows=windows,
        validation=splits.validation,
        test=splits.test,
        splits_notes=(
            f"guessed: the last days whose labels are complete{', the longest window between' if windows else ''}.",
            *doubt,
        ),
    )


def _named_once(objectives: Sequence[Objective]) -> list[Objective]:
    """Where several surfaces have a column of one name, or a table is called click and another clicks."""
    named: dict[str, Objective] = {}
    for one in objectives:
        name = one.name if one.name not in named else "_".join([*one.domains, one.name])
        while name in named:
            name += "_2"
        named[name] = replace(one, name=name)
    return list(named.values())


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
