"""What every source gives: the tables of a space, with the columns of ``schemas.tables``."""

import difflib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from schemas.errors import LatticeError
from schemas.tables import TableColumn


@dataclass(frozen=True, kw_only=True)
class SourceTables:
    """The raw tables of a space, lazy; each has exactly the columns that ``schemas.tables`` gives it."""

    impressions: Mapping[str, DataFrame]
    """By domain."""
    feedback: Mapping[str, DataFrame]
    """By objective."""
    events: Mapping[str, DataFrame]
    attributes: Mapping[str, DataFrame]
    on_time: bool = False
    """Whether every impression arrives when it happens: then nobody need look for late ones."""


def conform(frame: DataFrame, columns: Sequence[TableColumn], place: str) -> DataFrame:
    """Exactly ``columns``, in that order and of those types.

    Raises:
        LatticeError: ``frame`` lacks one of them.
    """
    require_columns([column.name for column in columns], frame.columns, place)
    return frame.select(*(F.col(column.name).cast(column.type).alias(column.name) for column in columns))


def declared_tables(
    section: str, offered: Mapping[str, DataFrame], declared: Mapping[str, Sequence[TableColumn]]
) -> dict[str, DataFrame]:
    """Of the tables that a source offers, those that a section of the space declares, with the declared columns.

    Raises:
        LatticeError: a table or a column is declared that the source does not offer.
    """
    for name in declared:
        if name not in offered:
            raise LatticeError(
                f"{section}.{name}",
                "The source of this space does not give it.",
                f"Declare what it gives: {', '.join(offered)}.",
            )
    return {name: conform(offered[name], columns, f"{section}.{name}") for name, columns in declared.items()}


def require_columns(wanted: Iterable[str], found: Collection[str], place: str) -> None:
    """Raise LatticeError at the first wanted column that is not among those found in ``place``."""
    for name in wanted:
        if name not in found:
            near = difflib.get_close_matches(name, found, n=1, cutoff=0.6)
            hint = f" The nearest is '{near[0]}'." if near else ""
            raise LatticeError(
                place,
                f"The column '{name}' is missing; found: {', '.join(found)}.{hint}",
                "Add it to the data, or change what the space file declares or maps there.",
            )
