"""Strict casts: a value either is of the declared type or is reported, never rounded, guessed or dropped."""

from dataclasses import dataclass

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql import types as T

from schemas.space import ColumnType, Epoch

# A date, or a date and a time, with or without a zone. Spark alone would take "12:30" for today.
_ISO = r"^\s*\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?\s*(Z|[+-]\d{2}(:?\d{2})?)?)?\s*$"
_DAY = r"^\s*\d{4}-\d{2}-\d{2}\s*$"
_ZONED = r":\d{2}.*(Z|[+-]\d{2}(:?\d{2})?)\s*$"
_LAST_SECOND = 253_402_300_799  # of the year 9999: milliseconds taken for seconds lie far beyond it
_A_SECOND: dict[Epoch, int] = {"s": 1, "ms": 1_000, "us": 1_000_000}

EXPECTED: dict[ColumnType, str] = {
    "string": "text or a whole number",
    "long": "a whole number",
    "double": "a number",
    "timestamp": "a time such as 2024-05-01T12:30:00Z; a number counts whole seconds since 1970-01-01 UTC, or what "
    "`epoch` says; in text it has the 9 or 10 digits of seconds from 1973 on (`epoch: ms`: 12 or 13, us: 15 or 16)",
}


@dataclass(frozen=True, kw_only=True)
class Cast:
    """``value`` is null where the raw value is null or where ``wrong`` is true; None if no value can be wrong."""

    value: Column
    wrong: Column | None = None


def strict_cast(
    raw: Column, found: T.DataType, declared: ColumnType, zone: str, epoch: Epoch = "s"
) -> Cast | None:  # fmt: skip
    """Cast ``raw``, of the type ``found``, to the declared type; None if no value of that type can be one.

    A time without a zone is local to ``zone``: one that daylight saving skips moves on by what is skipped, one that
    it repeats is the earlier one. A number is a time in units of ``epoch``. The session's time zone must be UTC.
    """
    if isinstance(found, T.StringType):
        return _from_string(raw, declared, zone, epoch)
    casts = {"string": _to_string, "long": _to_long, "double": _to_double}
    return _to_timestamp(raw, found, zone, epoch) if declared == "timestamp" else casts[declared](raw, found)


def is_whole_day(raw: Column, found: T.DataType) -> Column | None:
    """Whether a raw time is a date without a time of day; None if no value of its type is."""
    if isinstance(found, T.DateType):
        return F.lit(True)
    return raw.rlike(_DAY) if isinstance(found, T.StringType) else None


def _from_string(raw: Column, declared: ColumnType, zone: str, epoch: Epoch) -> Cast:
    if declared == "string":
        return Cast(value=raw)
    value = raw.try_cast(declared)
    if declared == "timestamp":
        # A count of seconds has 9 or 10 digits: with 8 it would be a day such as 20240501, with 4 a year.
        digits = len(str(_A_SECOND[epoch])) + 8
        count = F.when(raw.rlike(rf"^\s*\d{{{digits},{digits + 1}}}\s*$"), raw.try_cast("long"))
        local = F.when(raw.rlike(_ZONED), value).otherwise(F.to_utc_timestamp(value, zone))
        value = F.when(raw.rlike(_ISO), local).otherwise(_counted(count, epoch))
    return Cast(value=value, wrong=raw.isNotNull() & value.isNull())


def _to_string(raw: Column, found: T.DataType) -> Cast | None:
    # A float is refused: an id that a tool has turned into 17.0 would match no other table's 17.
    exact = isinstance(found, T.IntegralType | T.BooleanType | T.DateType | T.TimestampType)
    return Cast(value=raw.cast("string")) if exact else None


def _to_long(raw: Column, found: T.DataType) -> Cast | None:
    if isinstance(found, T.IntegralType | T.BooleanType):
        return Cast(value=raw.cast("long"))
    if not isinstance(found, T.FractionalType):
        return None
    whole = raw.try_cast("long")
    value = F.when(whole.cast(found) == raw, whole)
    return Cast(value=value, wrong=raw.isNotNull() & value.isNull())


def _to_double(raw: Column, found: T.DataType) -> Cast | None:
    return Cast(value=raw.cast("double")) if isinstance(found, T.NumericType | T.BooleanType) else None


def _to_timestamp(raw: Column, found: T.DataType, zone: str, epoch: Epoch) -> Cast | None:
    if isinstance(found, T.TimestampType):
        return Cast(value=raw)
    if isinstance(found, T.TimestampNTZType | T.DateType):
        return Cast(value=F.to_utc_timestamp(raw.cast("timestamp"), zone))
    if not isinstance(found, T.IntegralType):
        return None
    value = _counted(raw, epoch)
    return Cast(value=value, wrong=raw.isNotNull() & value.isNull())


def _counted(count: Column, epoch: Epoch) -> Column:
    """The time of a count since 1970-01-01 UTC; null beyond the year 9999."""
    unit = _A_SECOND[epoch]
    within = F.when(F.abs(count) <= _LAST_SECOND * unit, count.cast("long"))
    return F.timestamp_micros(within * (1_000_000 // unit))
