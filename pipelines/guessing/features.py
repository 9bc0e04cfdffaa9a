"""Which columns become features: ids if they are text or codes, numbers otherwise; with room for every id."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import pyarrow as pa

from pipelines.guessing.columns import Column
from pipelines.guessing.draft import Named
from pipelines.guessing.entries import listed
from pipelines.guessing.names import ORDERED, VALUE, is_id, plain, says
from schemas.references import RESERVED
from schemas.space import ColumnType
from schemas.tables import EVENT, FEEDBACK, IMPRESSION

_OURS = {*RESERVED, *(column.name for column in (*IMPRESSION, *FEEDBACK, *EVENT))}
CODES = 12
"""Whole numbers with no more different values may be codes."""
_SMALLEST = 32
_FEW_ROWS = 20


@dataclass(kw_only=True)
class Features:
    """Features and id spaces as they are found; no name is given twice."""

    id_spaces: list[Named] = field(default_factory=list)
    categorical: list[Named] = field(default_factory=list)
    dense: list[Named] = field(default_factory=list)
    taken: set[str] = field(default_factory=lambda: set(_OURS))

    def name(self, wanted: str) -> str:
        """The name, or one made of it that is still free."""
        found = wanted if not wanted.startswith("label_") else f"the_{wanted}"
        while found in self.taken:
            found += "_2"
        self.taken.add(found)
        return found

    def add_ids(self, wanted: str, origin: dict[str, object], columns: Iterable[Column], why: str = "") -> None:
        """A categorical feature with an id space of its own."""
        columns = list(columns)
        name = self.name(wanted)
        count = len(pa.concat_arrays([c.ids for c in columns]).unique())
        self.id_spaces.append(Named(name=name, value=room(count), notes=(f"guessed: {count:,} different were seen",)))
        notes = (f"guessed: {why}",) if why else ()
        self.categorical.append(Named(name=name, value={**origin, "id_space": name}, notes=notes))

    def add(self, wanted: str, origin: dict[str, object], columns: Iterable[Column]) -> None:
        """A feature of its kind; the columns are one in several tables."""
        columns = list(columns)
        if any(is_categorical(c) for c in columns):
            numbers = all(c.type == "long" for c in columns)
            why = f"an id, because its {max(c.distinct for c in columns)} different numbers look like codes"
            self.add_ids(wanted, origin, columns, why if numbers else "")
        else:
            self.dense.append(Named(name=self.name(wanted), value=origin))


def room(count: int) -> int:
    """The rows of an embedding table for so many ids: a power of two, and at least twice as many."""
    return max(_SMALLEST, 1 << (2 * count - 1).bit_length())


def is_categorical(column: Column) -> bool:
    """Text, ids and a few different whole numbers; not positions and counts, and no 0 and 1."""
    if column.type != "long" or column.zero_one or says(column.name, (*ORDERED, *VALUE)):
        return column.type == "string"
    return is_id(column.name) or column.distinct <= CODES


def usable(columns: Iterable[Column]) -> tuple[list[Column], list[str]]:
    """The columns that can be features, and why the others are left out."""
    kept, out = [], []
    for column in columns:
        name = listed([column.name])
        if column.type is None:
            out.append(f"{name} (its type is {column.found})")
        elif column.type == "timestamp":
            out.append(f"{name} (a time)")
        elif column.distinct < 2:
            out.append(f"{name} (it never changes)")
        elif is_categorical(column) and column.rows > _FEW_ROWS and column.distinct > 0.5 * column.rows:
            out.append(f"{name} (different in nearly every row)")
        else:
            kept.append(column)
    return kept, out


def declared(columns: Iterable[Column]) -> dict[str, Column]:
    """The columns under the names that they are declared by."""
    found: dict[str, Column] = {}
    for column in columns:
        name = plain(column.name, "column")
        while name in found or name in _OURS:
            name += "_2"
        found[name] = column
    return found


def types(columns: dict[str, Column]) -> dict[str, ColumnType]:
    return {name: column.type for name, column in columns.items() if column.type is not None}


def renamed(columns: dict[str, Column]) -> dict[str, str]:
    """Our name -> the file's, where they differ."""
    return {name: column.name for name, column in columns.items() if name != column.name}
