"""The user's own tables, CSV, Parquet or Delta, as the space file names and maps them; no data set is named here.

Every table is opened and counted when it is read, and every value that is not already of the declared type is tried,
in one pass a table; what comes back is lazy.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from pipelines.sources.base import SourceTables, require_columns
from pipelines.sources.casting import EXPECTED, Cast, strict_cast
from pipelines.sources.opening import explained, open_table, resolve
from pipelines.spans import EVER, Span
from schemas.errors import LatticeError
from schemas.space import ModelSpace, Objective, Sample, TableFile
from schemas.tables import (
    FEEDBACK,
    TableColumn,
    attribute_columns,
    event_columns,
    impression_columns,
)

Defaults = Mapping[str, Column]


def read(
    spark: SparkSession, space: ModelSpace, folder: Path, span: Span = EVER, _sample: Sample | None = None
) -> SourceTables:
    """The tables that the space file names; relative paths start at ``folder``.

    Of a table with times, only rows that arrive in ``span`` are tried and returned; where its files keep them as
    timestamps, those of other days are not even read.

    A table need not have ``arrival_time`` (then the event's own time), nor feedback ``value``. Where no objective of
    a domain is matched by the impression's key, ``source_key`` may be left out too (then it is made of user, item and
    time); feedback needs ``domain`` only if it is matched so and its objective has several domains.

    Raises:
        LatticeError: a file is missing, unreadable or empty, a column is missing, a value is not of its type, or a row
            has no time.
    """

    def table(place: str, file: TableFile | None, columns: Sequence[TableColumn], defaults: Defaults) -> DataFrame:
        return read_table(spark, place, _required(place, file), columns, defaults, folder, space.time_zone, span)

    return SourceTables(
        impressions={
            name: table(
                f"domains.{name}.impressions",
                domain.impressions,
                impression_columns(domain),
                _impression_defaults(space, name),
            )
            for name, domain in space.domains.items()
        },
        feedback={
            name: _of_known_domains(
                table(f"objectives.{name}.feedback", objective.feedback, FEEDBACK, _feedback_defaults(objective)),
                name,
                objective,
                tuple(space.domains),
            )
            for name, objective in space.objectives.items()
        },
        events={
            name: table(f"events.{name}.table", e.table, event_columns(e), {"arrival_time": F.col("event_time")})
            for name, e in space.events.items()
        },
        attributes={
            name: table(f"attributes.{name}.table", attributes.table, attribute_columns(attributes), {})
            for name, attributes in space.attributes.items()
        },
    )


def _required(place: str, file: TableFile | None) -> TableFile:
    if file is None:
        raise LatticeError(place, "The space names no file for this table.", "Add its path and format there.")
    return file


def _impression_defaults(space: ModelSpace, domain: str) -> Defaults:
    defaults = {"arrival_time": F.col("impression_time")}
    if any(domain in objective.domains and objective.match == "impression" for objective in space.objectives.values()):
        return defaults
    own_key = F.to_json(F.array("user_id", "item_id", F.unix_micros("impression_time").cast("string")))
    return {**defaults, "source_key": own_key}


def _feedback_defaults(objective: Objective) -> Defaults:
    defaults = {"arrival_time": F.col("feedback_time"), "value": F.lit(None).cast("double")}
    if objective.match == "user_item" and objective.origin != "row":
        return {**defaults, "source_key": F.lit(None).cast("string"), "domain": F.lit(None).cast("string")}
    if objective.match == "user_item":
        return {**defaults, "source_key": F.lit(None).cast("string")}
    return {**defaults, "domain": F.lit(objective.domains[0])} if len(objective.domains) == 1 else defaults


def _of_known_domains(
    feedback: DataFrame, name: str, objective: Objective, domains: tuple[str, ...]
) -> DataFrame:  # fmt: skip
    """Refuse feedback that says it is of a domain which its objective, or the space, does not have."""
    by_row = objective.match == "user_item" and objective.origin == "row"
    if by_row or (objective.match == "impression" and len(objective.domains) > 1):
        allowed = domains if by_row else objective.domains
        strange = feedback.where(~F.coalesce(F.col("domain").isin(*allowed), F.lit(not by_row)))
        for row in strange.groupBy("domain").count().orderBy("domain").take(1):
            raise LatticeError(
                f"objectives.{name}.feedback",
                f"{row['count']:,} rows name the domain '{row['domain']}', which this objective does not have.",
                f"Allowed: {', '.join(allowed)}. Mend the rows, or the objective's domains.",
            )
    return feedback


def read_table(
    spark: SparkSession,
    place: str,
    file: TableFile,
    columns: Sequence[TableColumn],
    defaults: Defaults,
    folder: Path,
    zone: str,
    span: Span = EVER,
) -> DataFrame:
    """One table with exactly ``columns``, those with a default optional; ``place`` is what messages call it."""
    path = resolve(file.path, folder)
    where = f"{place} ({path})"
    raw = open_table(spark, path, file.format, file.version)
    if not raw.columns:
        raise _empty(where)
    names = _file_columns(raw, file, columns, defaults, where)
    casts = {
        column.name: _cast(raw, names[column.name], column, file.time_zone or zone, where)
        for column in columns
        if column.name in names
    }
    arriving = _arriving(raw, casts, columns, span)
    with explained(path):
        if not _checked_rows(arriving, casts, columns, names, where) and raw.isEmpty():
            raise _empty(where)
    typed = arriving.select(*(cast.value.alias(name) for name, cast in casts.items()))
    return typed.select(*((F.col(c.name) if c.name in casts else defaults[c.name]).alias(c.name) for c in columns))


def _file_columns(
    raw: DataFrame, file: TableFile, columns: Sequence[TableColumn], defaults: Defaults, where: str
) -> dict[str, str]:
    """Our name -> the file's, for every column that is there; those with a default may be left out."""
    ours = [column.name for column in columns]
    for name in file.columns:
        if name not in ours:
            raise LatticeError(where, f"The table has no column '{name}' to map.", f"Allowed: {', '.join(ours)}.")
    names = {name: file.columns.get(name, name) for name in ours}
    require_columns((names[n] for n in ours if n in file.columns or n not in defaults), raw.columns, where)
    return {name: theirs for name, theirs in names.items() if theirs in raw.columns}


def _cast(raw: DataFrame, name: str, column: TableColumn, zone: str, where: str) -> Cast:
    found = raw.schema[name].dataType
    cast = strict_cast(_named(name), found, column.type, zone)
    if cast is None:
        raise LatticeError(
            where,
            f"The column '{name}' is of type {found.simpleString()}, where {column.type} is declared.",
            f"Write it as {EXPECTED[column.type]}, or declare another type.",
        )
    return cast


def _times(casts: Mapping[str, Cast], columns: Sequence[TableColumn]) -> list[str]:
    """The times that every row must have; the last says when it arrives."""
    return [c.name for c in columns if c.type == "timestamp" and not c.nullable and c.name in casts]


def _arriving(raw: DataFrame, casts: Mapping[str, Cast], columns: Sequence[TableColumn], span: Span) -> DataFrame:
    """The rows that arrive in a span, and those that do not say when: what is wrong must come to light."""
    times = _times(casts, columns)
    if span == EVER or not times:
        return raw
    arrives = casts[times[-1]].value
    return raw.where(arrives.isNull() | span.holds(arrives))


def _checked_rows(
    raw: DataFrame, casts: Mapping[str, Cast], columns: Sequence[TableColumn], names: Mapping[str, str], where: str
) -> int:
    """Count the rows, which also opens every file, and the values that are wrong, all in one aggregation."""
    checks = [(c, casts[c.name].wrong) for c in columns if c.name in casts]
    checked = [(column, wrong) for column, wrong in checks if wrong is not None]
    times = _times(casts, columns)
    row = raw.agg(
        F.count(F.lit(1)),
        *(F.count_if(wrong) for _, wrong in checked),
        *(F.min(F.when(wrong, _named(names[column.name]).cast("string"))) for column, wrong in checked),
        *(F.count_if(_named(names[time]).isNull()) for time in times),
    ).collect()[0]
    total, counts = row[0], row[1 : len(checked) + 1]
    examples, missing = row[len(checked) + 1 : 2 * len(checked) + 1], row[2 * len(checked) + 1 :]
    for (column, _), count, example in zip(checked, counts, examples, strict=True):
        if count:
            raise LatticeError(
                where,
                f"The column '{names[column.name]}' is declared {column.type}, which {count:,} of {total:,} values "
                f"are not, such as {example!r}.",
                f"Write it as {EXPECTED[column.type]}, or declare another type.",
            )
    for time, count in zip(times, missing, strict=True):
        if count:
            raise LatticeError(
                where,
                f"The column '{names[time]}' is empty in {count:,} of {total:,} rows; every row needs this time.",
                "Write the time of each, or leave such rows out.",
            )
    return int(total)


def _empty(where: str) -> LatticeError:
    return LatticeError(where, "The table is empty.", "Give a table with at least one row.")


def _named(name: str) -> Column:
    """The column of exactly that name, dots and all."""
    return F.col("`" + name.replace("`", "``") + "`")
