"""The parts of a first space file as plain data, each with what the user should know of it."""

from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from schemas.space import ColumnType

Notes = tuple[str, ...]
"""Comments: each starts with guessed, question, warning or left out."""


@dataclass(frozen=True, kw_only=True)
class File:
    """A table's entry: where it lies, and what its columns are called there."""

    path: str
    format: str
    columns: dict[str, str]
    separator: str = ","
    epoch: str = "s"
    notes: Notes = ()


@dataclass(frozen=True, kw_only=True)
class Declared:
    """A domain, a log of events or a table of attributes: declared columns and the file."""

    name: str
    columns: dict[str, ColumnType]
    file: File
    key: str = ""
    """Of attributes."""
    notes: Notes = ()


@dataclass(frozen=True, kw_only=True)
class Objective:
    """An objective; without windows it is matched by the impression's key."""

    name: str
    domains: tuple[str, ...]
    by_key: bool
    windows: tuple[str, ...]
    observed: tuple[datetime, datetime]
    file: File
    notes: Notes = ()
    windows_notes: Notes = ()
    observed_notes: Notes = ()


@dataclass(frozen=True, kw_only=True)
class Named:
    """A name, what is declared under it, and what to know of it."""

    name: str
    value: Any
    notes: Notes = ()


@dataclass(kw_only=True)
class Draft:
    """Everything that the file says."""

    name: str
    read: tuple[str, ...]
    time_zone: Named
    left_out: Notes
    id_spaces: list[Named] = field(default_factory=list)
    domains: list[Declared] = field(default_factory=list)
    objectives: list[Objective] = field(default_factory=list)
    events: list[Declared] = field(default_factory=list)
    attributes: list[Declared] = field(default_factory=list)
    categorical: list[Named] = field(default_factory=list)
    dense: list[Named] = field(default_factory=list)
    history: list[Named] = field(default_factory=list)
    windows: tuple[str, ...] = ()
    validation: tuple[date, date]
    test: tuple[date, date]
    splits_notes: Notes
