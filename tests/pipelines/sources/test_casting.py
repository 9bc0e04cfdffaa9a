"""Strict casts: what each type of raw value becomes, and which values are reported instead."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from pipelines.sources.casting import strict_cast
from schemas.space import ColumnType, Epoch

BERLIN = "Europe/Berlin"
WRONG = "wrong"
NOON = datetime(2024, 3, 1, 12)

CASES: list[tuple[T.DataType, ColumnType, list[tuple[Any, Any]]]] = [
    (T.StringType(), "string", [("x", "x"), (" ", " "), (None, None)]),
    (T.LongType(), "string", [(17, "17"), (None, None)]),
    (T.StringType(), "long", [("17", 17), (" -3 ", -3), ("1.5", WRONG), ("", WRONG), ("x", WRONG), (None, None)]),
    (T.IntegerType(), "long", [(17, 17)]),
    (T.BooleanType(), "long", [(True, 1), (False, 0)]),
    (T.DoubleType(), "long", [(17.0, 17), (1.5, WRONG), (1e300, WRONG), (float("nan"), WRONG), (None, None)]),
    (T.DecimalType(6, 2), "long", [(Decimal("3.00"), 3), (Decimal("3.25"), WRONG), (None, None)]),
    (T.StringType(), "double", [("1.5", 1.5), ("1e3", 1000.0), ("1,5", WRONG), (None, None)]),
    (T.LongType(), "double", [(17, 17.0)]),
    (T.DecimalType(6, 2), "double", [(Decimal("3.25"), 3.25)]),
    (T.TimestampType(), "timestamp", [(NOON.replace(tzinfo=UTC), NOON), (None, None)]),
    (T.TimestampNTZType(), "timestamp", [(datetime(2024, 3, 1, 13), NOON)]),
    (T.DateType(), "timestamp", [(date(2024, 3, 1), datetime(2024, 2, 29, 23))]),
    (
        T.LongType(),
        "timestamp",
        [(1_709_294_400, NOON), (0, datetime(1970, 1, 1)), (1_709_294_400_000, WRONG), (None, None)],
    ),
    (
        T.StringType(),
        "timestamp",
        [
            ("2024-03-01T12:00:00Z", NOON),
            ("2024-03-01 13:00:00", NOON),
            ("2024-03-01 13:00", NOON),
            ("2024-03-01 12:00:00.250001+00:00", NOON.replace(microsecond=250001)),
            ("2024-03-01T07:00:00-0500", NOON),
            ("2024-03-01", datetime(2024, 2, 29, 23)),
            ("2024-07-01 14:00:00", datetime(2024, 7, 1, 12)),
            # Skipped and repeated by daylight saving.
            ("2024-03-31 02:30:00", datetime(2024, 3, 31, 1, 30)),
            ("2024-10-27 02:30:00", datetime(2024, 10, 27, 0, 30)),
            # Spark alone would take these for today, for a year, and for a moment in the year 58,000.
            ("12:30:00", WRONG),
            ("2024", WRONG),
            ("1709294400000", WRONG),
            # Seconds since 1970, where they cannot be a day.
            ("1709294400", NOON),
            (" 999999999 ", datetime(2001, 9, 9, 1, 46, 39)),
            ("20240301", WRONG),
            ("1709294400.5", WRONG),
            ("2024-02-30", WRONG),
            ("01/03/2024", WRONG),
            ("", WRONG),
            (None, None),
        ],
    ),
]


@pytest.mark.parametrize(("found", "declared", "values"), CASES, ids=lambda part: str(part)[:20])
def test_a_value_is_cast_exactly_or_reported(
    spark: SparkSession, found: T.DataType, declared: ColumnType, values: list[tuple[Any, Any]]
) -> None:
    raw = spark.createDataFrame([(raw,) for raw, _ in values], T.StructType([T.StructField("raw", found)]))
    cast = strict_cast(F.col("raw"), found, declared, BERLIN)
    assert cast is not None
    wrong = cast.wrong if cast.wrong is not None else F.lit(False)
    rows = raw.select(cast.value.alias("value"), wrong.alias("wrong")).collect()
    assert [WRONG if row.wrong else row.value for row in rows] == [expected for _, expected in values]
    assert all(row.value is None for row in rows if row.wrong)


@pytest.mark.parametrize(
    ("found", "declared"),
    [
        (T.DoubleType(), "string"),
        (T.BinaryType(), "string"),
        (T.ArrayType(T.StringType()), "string"),
        (T.TimestampType(), "long"),
        (T.DateType(), "double"),
        (T.DoubleType(), "timestamp"),
        (T.BooleanType(), "timestamp"),
    ],
)
def test_a_type_that_cannot_be_the_declared_one_is_refused(
    spark: SparkSession, found: T.DataType, declared: ColumnType
) -> None:
    assert strict_cast(F.col("raw"), found, declared, BERLIN) is None


@pytest.mark.parametrize(
    ("epoch", "count"), [("s", 1_709_294_400), ("ms", 1_709_294_400_000), ("us", 1_709_294_400_000_000)]
)
@pytest.mark.parametrize("found", [T.LongType(), T.StringType()])
def test_a_number_counts_in_the_declared_unit(spark: SparkSession, found: T.DataType, epoch: Epoch, count: int) -> None:
    text = isinstance(found, T.StringType)
    beyond = (count // 1_709_294_400) * 253_402_300_800  # the year 10000
    values = [str(count), str(beyond * 10)] if text else [count, beyond]
    cast = strict_cast(F.col("raw"), found, "timestamp", BERLIN, epoch)
    assert cast is not None and cast.wrong is not None
    raw = spark.createDataFrame([(value,) for value in values], T.StructType([T.StructField("raw", found)]))
    rows = raw.select(cast.value.alias("value"), cast.wrong.alias("wrong")).collect()
    assert [(row.value, row.wrong) for row in rows] == [(NOON, False), (None, True)]
