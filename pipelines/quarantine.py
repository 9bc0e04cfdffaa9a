"""Rows that break an expectation, kept apart with the reason so that the others can be published.

A row is bad by itself (a null, an unknown value, a time before an earlier one), or because another row has its key: of
the rows of one key the first that arrived is kept, of those that arrived at once the first by its text, and none where
the key is published already. That is the first of all that ever arrive, so nights and a whole build keep the same rows.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from schemas.expectations import Expectation

REASON = "_reason"
_AGAIN = "_again"


def repeated(rows: DataFrame, known: DataFrame, key: str) -> DataFrame:
    """The different keys of new ``rows`` that are among the published ones, ``known``; the new rows are few."""
    return known.select(key).join(F.broadcast(rows.select(key)), on=key, how="left_semi").distinct()


def judged(rows: DataFrame, failed: Sequence[Expectation], known: DataFrame | None = None) -> DataFrame:
    """``rows`` with ``REASON``: what is wrong with each, null where nothing is.

    Args:
        failed: the expectations that some row breaks, and the uniqueness of the key that ``known`` is about.
        known: the rows that are published already, if the key must be unique among them too.
    """
    alone = [F.when(_of(e) & _breaks(e), F.lit(e.failure)) for e in failed if e.kind != "unique"]
    found = rows.withColumn(REASON, F.nullif(F.concat_ws("; ", *alone), F.lit("")))
    for expectation in failed:
        if expectation.kind == "unique":
            found = _first_alone(found, rows.columns, expectation, known)
    return found


def kept_apart(bad: DataFrame, table: str, through: datetime, run: str) -> DataFrame:
    """What is noted of the bad rows of a table: its name, the reason, the row as JSON, its user, and which run when.

    ``through``: the rows had arrived before it, and belong to what was added up to then.
    """
    columns = [name for name in bad.columns if name != REASON]
    user = F.col("user_id") if "user_id" in columns else F.lit(None)
    return bad.select(
        F.lit(table).alias("table"),
        F.col(REASON).alias("reason"),
        _text(columns).alias("row"),
        user.cast("string").alias("user_id"),
        F.lit(through).cast("timestamp").alias("through"),
        F.lit(run).alias("run"),
        F.lit(datetime.now(UTC)).cast("timestamp").alias("quarantined_at"),
    )


def _of(expectation: Expectation) -> Column:
    """Whether an expectation is about a row."""
    return F.lit(True) if expectation.domain is None else F.col("domain") == expectation.domain


def _breaks(expectation: Expectation) -> Column:
    """Whether a row breaks a condition; as in Great Expectations only ``not_null`` is broken by a null."""
    value, arguments = F.col(expectation.column), expectation.arguments
    match expectation.kind:
        case "not_null":
            return value.isNull()
        case "in_set":
            return ~value.isin(*arguments["value_set"])
        case "between":
            least, most = arguments["min_value"], arguments["max_value"]
            low = F.lit(False) if least is None else value < least
            return low | (F.lit(False) if most is None else value > most)
        case "not_before":
            return value < F.col(arguments["earlier"])
        case _:
            raise ValueError(f"{expectation.kind} is no condition of a single row")


def _first_alone(
    found: DataFrame, columns: Sequence[str], expectation: Expectation, known: DataFrame | None
) -> DataFrame:
    key = expectation.column
    fine = F.col(REASON).isNull()
    arrived = [F.col("arrival_time")] if "arrival_time" in columns else []
    # A row that is bad by itself does not stand in the way of a good one.
    place = F.row_number().over(Window.partitionBy(key, fine).orderBy(*arrived, _text(columns)))
    later = F.when(fine & (place > 1), F.lit(expectation.failure))
    found = found.withColumn(REASON, F.coalesce(REASON, later))
    if known is None:
        return found
    again = F.broadcast(repeated(found.where(F.col(REASON).isNull()), known, key).withColumn(_AGAIN, F.lit(True)))
    published = F.when(F.col(_AGAIN), F.lit(f"{key} is published already"))
    # The keys are different: the join keeps the number of rows.
    return found.join(again, on=key, how="left").select(*columns, F.coalesce(REASON, published).alias(REASON))


def _text(columns: Sequence[str]) -> Column:
    shown = {"timestampFormat": "yyyy-MM-dd'T'HH:mm:ss.SSSSSSXXX", "ignoreNullFields": "false"}
    return F.to_json(F.struct(*columns), shown)
