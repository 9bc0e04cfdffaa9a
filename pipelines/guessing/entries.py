"""The entry of each table in the file: its path, our names for its columns, and what to mend or to ask there."""

from pathlib import Path

import numpy as np
import pyarrow.compute as pc

from pipelines.guessing.columns import Column
from pipelines.guessing.draft import File
from pipelines.guessing.names import TIME, VALUE, says
from pipelines.guessing.roles import Answer, Facts
from pipelines.guessing.tables import Log, Table

ISO = "2024-05-01T12:30:00Z"
_EPOCHS = {"seconds": "s", "milliseconds": "ms", "microseconds": "us"}
_FIRST_IN_TEXT = 10**8
"""Seconds since 1970: a smaller number is no time to the source where it is text."""


def listed(names: list[str]) -> str:
    return ", ".join(repr(name)[1:-1] for name in names)


def impressions_file(log: Log, folder: Path) -> File:
    notes = list(_log_notes(log))
    columns = _log_columns(log, "impression_time")
    if log.key is not None:
        columns = {"source_key": log.key.name, **columns}
        notes.append(f"guessed: source_key is {listed([log.key.name])}, because it is another in every row.")
    else:
        same = log.sample.rows.num_rows - _different(log)
        if same:
            notes.append(
                f"warning: {same:,} rows repeat another's user, item and time, and `lattice ingest` refuses the same "
                "impression twice. Give each row a key of its own, and map it: source_key."
            )
    return _file(log, columns, notes, folder)


def feedback_file(answer: Answer, folder: Path) -> File:
    log, notes = answer.table, list(_log_notes(answer.table))
    columns = _log_columns(log, "feedback_time")
    if answer.key is not None:
        columns["source_key"] = answer.key.name
        notes.append(f"guessed: source_key is {listed([answer.key.name])}, because its values are impressions' keys.")
    if answer.domain is not None:
        columns["domain"] = answer.domain.name
    value = next((c for c in log.others if says(c.name, VALUE) and c.type in ("long", "double")), None)
    if value is not None:
        columns["value"] = value.name
    if value is not None and says(value.name, ("rating", "star", "score")):
        notes.append(
            f"question: every row counts as a positive answer, whatever its {listed([value.name])}. If only high ones "
            "should, leave the others out of the file."
        )
    return _file(log, columns, notes, folder)


def events_file(log: Log, folder: Path) -> File:
    return _file(log, _log_columns(log, "event_time"), [], folder)


def attributes_file(facts: Facts, folder: Path) -> File:
    notes = [
        f"guessed: the key is {listed([facts.key.name])}, because it is another in every row and logs have it too."
    ]
    return _file(facts.table, {facts.of: facts.key.name}, notes, folder)


def relative(path: Path, folder: Path) -> str:
    """As the space file, which lies in ``folder``, names a path: from there, if it lies in there."""
    whole, start = path.resolve(), folder.resolve()
    return (whole.relative_to(start) if whole.is_relative_to(start) else whole).as_posix()


def epoch(time: Column | None) -> str:
    """The unit in which the source is to count a time that is a number."""
    return "s" if time is None else _EPOCHS.get(time.unit, "s")


def _file(table: Table, columns: dict[str, str], notes: list[str], folder: Path) -> File:
    if not table.sample.whole:
        notes.insert(0, f"guessed: from {table.sample.extent}.")
    return File(
        path=relative(table.sample.path, folder),
        format=table.sample.format,
        columns={ours: theirs for ours, theirs in columns.items() if ours != theirs},
        separator=table.sample.separator,
        epoch=epoch(table.time),
        notes=tuple(notes),
    )


def _log_columns(log: Log, time: str) -> dict[str, str]:
    columns = {"user_id": log.user.name, "item_id": log.item.name, time: log.time.name}
    return columns if log.arrival is None else {**columns, "arrival_time": log.arrival.name}


def _log_notes(log: Log) -> list[str]:
    notes = []
    for part, column in (("user", log.user), ("item", log.item)):
        if part in log.unsure:
            notes.append(f"question: is {listed([column.name])} the {part}? No name says so.")
        missing = int(column.values.null_count)
        if missing:
            notes.append(f"warning: {missing:,} rows have no {listed([column.name])}; leave such rows out.")
    notes += _time_notes(log.time, log.sample.format)
    others = [c.name for c in log.others if c.type == "timestamp" and says(c.name, TIME)]
    if others:
        notes.append(f"question: the time is {listed([log.time.name])}, and not {listed(others)}?")
    fine = log.sample.nanoseconds
    if fine:
        notes.append(
            f"warning: {listed(sorted(fine))} are in nanoseconds, which Spark cannot read: write microseconds (pandas: "
            "to_parquet(..., coerce_timestamps='us'))."
        )
    return notes


def _time_notes(time: Column, kind: str) -> list[str]:
    notes = []
    name = listed([time.name])
    if time.values.null_count:
        notes.append(f"warning: {int(time.values.null_count):,} rows have no {name}; leave such rows out.")
    if time.unit == "nanoseconds":
        notes.append(f"warning: {name} counts {time.unit} since 1970; write microseconds, or times such as {ISO}.")
    elif time.unit and kind == "csv" and time.range[0].timestamp() < _FIRST_IN_TEXT:
        notes.append(
            f"warning: {name} counts {time.unit} from some day 0, which are taken from Parquet, Delta and JSON but not "
            f"from CSV; write times such as {ISO}."
        )
    elif time.unit:
        notes.append(f"guessed: {name} counts {time.unit} since 1970: its first is {time.range[0]:%Y-%m-%d %H:%M} UTC.")
    return notes


def _different(log: Log) -> int:
    """How many users, items and times differ."""
    times = log.time.values.cast("int64").cast("string")
    texts = pc.binary_join_element_wise(log.user.texts, log.item.texts, times, "\0", null_handling="replace")
    return len(np.unique(texts.to_numpy(zero_copy_only=False)))
