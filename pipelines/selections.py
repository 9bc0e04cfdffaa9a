"""The ``selection`` table of a group: every selection that was made, and the one that is effective on a day."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession

from pipelines.tables import Filter, published, read_rows
from schemas.errors import LatticeError
from schemas.selection import SELECTION, Decision, Selection

_OF_ALL = [name for name in Selection.model_fields if name != "decisions"]


@dataclass(frozen=True, kw_only=True)
class Difference:
    """What one selection has that another has not, by name."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    kept: int


def effective_selection(uri: str, day: date) -> Selection | None:
    """The selection that builds of a day follow: of those that have begun, the one that began last, then the newest.

    None if there is none. Needs no Spark.
    """
    begun = [(start, version) for version, start in _versions(uri).items() if start <= day]
    return _read(uri, max(begun)[1]) if begun else None


def find_selection(uri: str, version: int) -> Selection:
    """The selection of that version.

    Raises:
        LatticeError: there is none.
    """
    if version not in (known := _versions(uri)):
        raise LatticeError(
            f"selection {version}", "There is no such selection.",
            f"Known: {', '.join(str(number) for number in sorted(known)) or 'none; `lattice select` makes one'}.",
        )  # fmt: skip
    return _read(uri, version)


def next_version(uri: str) -> int:
    return max(_versions(uri), default=0) + 1


def selection_rows(spark: SparkSession, selection: Selection) -> DataFrame:
    """A selection as rows of the table."""
    common = [getattr(selection, name) for name in _OF_ALL]
    rows = [(*common, *decision.model_dump().values()) for decision in selection.decisions]
    return spark.createDataFrame(rows, SELECTION)


def difference(before: Selection, after: Selection) -> Difference:
    """What changed in what is chosen."""
    old, new = set(before.chosen), set(after.chosen)
    return Difference(added=_in_order(after, new - old), removed=_in_order(before, old - new), kept=len(old & new))


def _in_order(selection: Selection, names: Iterable[str]) -> tuple[str, ...]:
    wanted = set(names)
    return tuple(name for name in selection.chosen if name in wanted)


def _versions(uri: str) -> dict[int, date]:
    """Version -> the day from which it is effective."""
    rows = _rows(uri, ["version", "effective_from"])
    return {} if rows is None else dict(zip(*(rows[name].to_pylist() for name in rows.column_names), strict=True))


def _read(uri: str, version: int) -> Selection:
    rows = _rows(uri, None, [("version", "=", version)])
    assert rows is not None, "the caller has seen this version"
    found = rows.to_pylist()
    decisions = tuple(Decision(**{name: row[name] for name in Decision.model_fields}) for row in found)
    return Selection(**{name: found[0].get(name) for name in _OF_ALL}, decisions=decisions)


def _rows(uri: str, columns: list[str] | None, where: Filter | None = None) -> pa.Table | None:
    table = published(uri)
    return None if table is None else read_rows(table, columns, where)
