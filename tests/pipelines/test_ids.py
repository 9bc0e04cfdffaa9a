"""The hash against an independent XXH64, so that other languages can make the same ids."""

import xxhash
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from pipelines.ids import digest, hashed_id, impression_id

# They must never change, or every stored id would mean something else.
VECTORS = {
    ("item", "a"): -5807229703598387620,
    ("item", ""): -9136905326782094651,
    ("user", "Zoë"): 3278395967975290991,
}


def reference(*parts: str) -> int:
    seed = 42
    for part in parts:
        seed = xxhash.xxh64_intdigest(part.encode(), seed=seed)
    return seed - (1 << 64) if seed >= 1 << 63 else seed


def test_equals_xxh64_chained_by_seed(spark: SparkSession) -> None:
    rows = [("item", "a"), ("item", ""), ("user", "Zoë"), ("user", "a" * 100)]
    frame = spark.createDataFrame(rows, "space string, value string")
    for space, value in rows:
        found = frame.where((F.col("space") == space) & (F.col("value") == value)).select(
            hashed_id(space, F.col("value")).alias("h"), impression_id(F.col("space"), F.col("value")).alias("i")
        )
        assert found.collect() == [(reference(space, value), reference(space, value))]


def test_known_vectors(spark: SparkSession) -> None:
    for (space, value), expected in VECTORS.items():
        assert spark.range(1).select(hashed_id(space, F.lit(value)).alias("h")).collect()[0]["h"] == expected


def test_null_is_absent(spark: SparkSession) -> None:
    row = spark.range(1).select(hashed_id("item", F.lit(None)).alias("h")).collect()[0]
    assert row["h"] == 0


def test_a_value_has_another_id_in_another_space(spark: SparkSession) -> None:
    row = (
        spark.range(1).select(hashed_id("a", F.lit("x")).alias("a"), hashed_id("b", F.lit("x")).alias("b")).collect()[0]
    )
    assert row["a"] != row["b"]


def test_a_digest_is_of_the_rows_and_not_of_their_order(spark: SparkSession) -> None:
    def of(*rows: tuple[str | None, str | None, float]) -> tuple[int, ...]:
        return digest(spark.createDataFrame(list(rows), "a string, b string, x double"))

    rows = [("a", None, 1.0), (None, "a", float("nan")), ("a", None, 1.0)]
    assert of(*rows) == of(*reversed(rows))
    assert of(*rows) != of(*rows[:2])
    assert of(("a", None, 1.0)) != of((None, "a", 1.0))
    assert of(("a", None, 1.0)) != of(("a", "b", 1.0))
    # An even number of equal rows is not nothing.
    assert of(*rows, rows[0], rows[0]) != of(*rows)
