"""Stable 64-bit hashes: of ids, salted by their id space, and of an impression's own key.

The hash is Spark's ``xxhash64``: XXH64 of the first value's UTF-8 bytes with seed 42, whose result, as an unsigned
number, seeds the hash of the next value, and so on; the last result is read as a signed number. Any XXH64
implementation gives the same (tests/pipelines/test_ids.py holds vectors against one).
"""

from functools import reduce
from operator import or_

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F


def hashed_id(id_space: str, value: Column) -> Column:
    """The unfolded id of ``value`` in its space (long); 0, 'absent', where it is null."""
    return F.when(value.isNull(), F.lit(0)).otherwise(F.xxhash64(F.lit(id_space), value.cast("string")))


def impression_id(domain: Column, source_key: Column) -> Column:
    """The stable id (long) of the impression with the source's own key in a domain."""
    return F.xxhash64(domain, source_key)


def joint_key(*columns: str) -> Column:
    """One number (long) for the values of several columns, to partition and sort by; null where one of them is null.

    Numbers sort several times faster than strings. Two keys among n meet with a chance of n^2 / 2^65, as with ids.
    """
    missing = reduce(or_, (F.col(column).isNull() for column in columns))
    return F.when(~missing, F.xxhash64(*columns))


def digest(rows: DataFrame) -> tuple[int, ...]:
    """The number of rows and two sums of their hashes: the same for the same rows, in whatever order, and no others.

    Two different tables meet with a chance of about 2^-128.
    """
    values = [F.col(name) for name in sorted(rows.columns)]
    known = [value.isNull() for value in values]  # a hash alone passes over a null
    hashes = (F.xxhash64(F.lit(salt), *values, *known).cast("decimal(38,0)") for salt in (0, 1))
    found = rows.agg(F.count(F.lit(1)), *(F.coalesce(F.sum(value), F.lit(0)) for value in hashes)).collect()[0]
    return tuple(int(value) for value in found)
