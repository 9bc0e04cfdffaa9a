"""One column of a sample: the type that the ``files`` source would take it as, and what its values are like."""

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.guessing.names import TIME, says
from schemas.space import ColumnType

_MOMENT = pa.timestamp("us", "UTC")
_DAY = r"^\d{4}-\d{2}-\d{2}"
_CLOCK = r"[T ]\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?"
_LOCAL = rf"{_DAY}({_CLOCK})?$"
_ZONED = rf"{_DAY}{_CLOCK}(Z|[+-]\d{{2}}(:?\d{{2}})?)$"
_WHOLE = r"^-?\d{1,18}$"
_PADDED = r"^-?0\d"
_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"

# Numbers of the years 2000 to 2100, counted since 1970 in each unit.
_FIRST, _LAST = 946_684_800, 4_102_444_800
_UNITS = {"seconds": 1, "milliseconds": 10**3, "microseconds": 10**6, "nanoseconds": 10**9}


@dataclass(frozen=True, eq=False)
class Column:
    """A column; ``values`` have the type (times in UTC), ``texts`` are what an id column would hold."""

    name: str
    type: ColumnType | None
    """None: the source takes no such values."""
    values: pa.Array
    texts: pa.Array
    found: str
    """The type in the file."""
    local: bool = False
    """Whether its times have no zone of their own."""
    unit: str = ""
    """What it counts since 1970, where it is a number that seems to be a time."""

    @cached_property
    def distinct(self) -> int:
        return int(pc.count_distinct(self.values, mode="only_valid").as_py()) if self.type else 0

    @property
    def rows(self) -> int:
        return len(self.values)

    @property
    def full(self) -> bool:
        """Whether no value is missing."""
        return int(self.values.null_count) == 0

    @property
    def unique(self) -> bool:
        """Whether it could be the key of its table."""
        return self.can_be_id and self.full and self.distinct == self.rows

    @property
    def can_be_id(self) -> bool:
        """Whether the source takes its values as ids: a number with a fraction point would match no other table's."""
        return self.type in ("string", "long")

    @cached_property
    def ids(self) -> pa.Array:
        """The different values as text."""
        return self.texts.drop_null().unique()

    @cached_property
    def zero_one(self) -> bool:
        return self.type in ("long", "double") and set(self.values.drop_null().unique().to_pylist()) == {0, 1}

    @property
    def range(self) -> tuple[datetime, datetime]:
        """Of times: the first and the last."""
        ends = pc.min_max(self.values).as_py()
        return ends["min"].replace(tzinfo=UTC), ends["max"].replace(tzinfo=UTC)


def column(name: str, rows: pa.ChunkedArray, zone: str, csv: bool) -> Column:
    """Look at one column; times without a zone are of ``zone``. Of CSV, text that is numbers is taken as numbers."""
    raw = rows.combine_chunks()
    if pa.types.is_dictionary(raw.type):
        raw = raw.cast(raw.type.value_type)
    found = "text" if csv else str(raw.type)
    if pa.types.is_string(raw.type) or pa.types.is_large_string(raw.type):
        return _of_text(name, raw.cast(pa.string()), zone, found, csv)
    if pa.types.is_timestamp(raw.type) or pa.types.is_date(raw.type):
        return _of_times(name, raw, zone, found)
    if pa.types.is_integer(raw.type) or pa.types.is_boolean(raw.type):
        texts = raw.cast(pa.string())
        return _timed(Column(name, "long", raw.cast(pa.int64(), safe=False), texts, found))
    if pa.types.is_floating(raw.type) or pa.types.is_decimal(raw.type):
        return Column(name, "double", raw.cast(pa.float64()), raw.cast(pa.string()), found)
    nothing = pa.nulls(len(raw), pa.string())
    return Column(name, None, nothing, nothing, found)


def _of_text(name: str, raw: pa.Array, zone: str, found: str, csv: bool) -> Column:
    stripped = pc.utf8_trim_whitespace(raw)
    if raw.null_count == len(raw):
        return Column(name, None, raw, raw, "empty")
    times = _times(stripped, zone)
    if times is not None:
        local = bool(pc.any(pc.match_substring_regex(stripped, _LOCAL)).as_py())
        return Column(name, "timestamp", times, raw, found, local=local)
    # Numbers with leading zeros are codes.
    if csv and not pc.any(pc.match_substring_regex(stripped, _PADDED)).as_py():
        if _all(stripped, _WHOLE):
            return _timed(Column(name, "long", stripped.cast(pa.int64()), raw, found))
        if _all(stripped, _NUMBER):
            unsigned = pc.replace_substring_regex(stripped, r"^\+", "")
            return Column(name, "double", unsigned.cast(pa.float64()), raw, found)
    return Column(name, "string", raw, raw, found)


def _of_times(name: str, raw: pa.Array, zone: str, found: str) -> Column:
    local = pa.types.is_date(raw.type) or raw.type.tz is None
    values = raw.cast(pa.timestamp("us", None if local else raw.type.tz), safe=False)
    return Column(name, "timestamp", _in_zone(values, zone) if local else values.cast(_MOMENT), raw, found, local=local)


def _times(texts: pa.Array, zone: str) -> pa.Array | None:
    """Texts as times; None if one of them is none that the source takes."""
    is_local, is_zoned = (pc.match_substring_regex(texts, pattern) for pattern in (_LOCAL, _ZONED))
    if not pc.all(pc.or_(is_local, is_zoned)).as_py():
        return None
    nothing = pa.scalar(None, pa.string())
    try:
        local = pc.if_else(is_local, texts, nothing).cast(pa.timestamp("us"))
        zoned = pc.if_else(is_zoned, texts, nothing).cast(_MOMENT)
    except pa.ArrowInvalid:  # such as the 30th of February
        return None
    return pc.coalesce(_in_zone(local, zone), zoned)


def _in_zone(local: pa.Array, zone: str) -> pa.Array:
    return pc.assume_timezone(local, zone, ambiguous="earliest", nonexistent="latest").cast(_MOMENT)


def _all(texts: pa.Array, pattern: str) -> bool:
    return bool(pc.all(pc.match_substring_regex(texts, pattern)).as_py())


def _timed(numbers: Column) -> Column:
    """The column with the unit that its numbers seem to count since 1970, if its name says that it is a time.

    The source takes whole seconds, milliseconds and microseconds as times; of those in text, seconds from 1973 on.
    """
    if not says(numbers.name, TIME) or numbers.distinct == 0:
        return numbers
    ends = pc.min_max(numbers.values).as_py()
    for unit, scale in _UNITS.items():
        if _FIRST * scale <= ends["min"] and ends["max"] < _LAST * scale:
            moments = pc.divide(numbers.values, scale).cast(pa.timestamp("s")).cast(pa.timestamp("us")).cast(_MOMENT)
            return Column(numbers.name, "timestamp", moments, numbers.texts, numbers.found, unit=unit)
    # A log whose clock starts at some day 0.
    if ends["min"] >= 0 and 2 * 86_400 <= ends["max"] < _FIRST:
        moments = numbers.values.cast(pa.timestamp("s")).cast(pa.timestamp("us")).cast(_MOMENT)
        return Column(numbers.name, "timestamp", moments, numbers.texts, numbers.found, unit="seconds")
    return numbers
