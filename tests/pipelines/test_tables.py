"""Publishing: whole or not at all, and only what passed its checks."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from pipelines.spans import EVER, Span
from pipelines.tables import (
    Published,
    among,
    compact,
    count_between,
    files,
    holding,
    leading,
    publish,
    published,
    read,
    read_few,
    read_rows,
    require,
    value_counts,
)
from schemas.errors import LatticeError


def accept(_rows: DataFrame, _version: Published) -> None:
    pass


def refuse(_rows: DataFrame, _version: Published) -> None:
    raise LatticeError("the test", "refuses.", "No remedy.")


def ids(frame: DataFrame) -> list[int]:
    return sorted(row["id"] for row in frame.select("id").collect())


def test_what_is_published_can_be_read_back(spark: SparkSession, tmp_path: Path) -> None:
    made = publish(spark.range(5), str(tmp_path / "t"), fingerprint="f", check=accept)
    assert published(made.uri) == made
    assert (made.rows, made.fingerprint) == (5, "f")
    assert ids(read(spark, made)) == [0, 1, 2, 3, 4]


def test_nothing_is_published_where_nothing_was_written(tmp_path: Path) -> None:
    assert published(str(tmp_path / "t")) is None
    with pytest.raises(LatticeError, match="lattice build"):
        require(str(tmp_path / "t"), "lattice build")


def test_a_refused_first_version_is_never_readable(spark: SparkSession, tmp_path: Path) -> None:
    uri = str(tmp_path / "t")
    with pytest.raises(LatticeError, match="refuses"):
        publish(spark.range(5), uri, fingerprint="f", check=refuse)
    assert published(uri) is None
    assert DeltaTable(uri).count() == 0


def test_a_refused_next_version_leaves_the_last_one(spark: SparkSession, tmp_path: Path) -> None:
    uri = str(tmp_path / "t")
    first = publish(spark.range(5), uri, fingerprint="f", check=accept)
    with pytest.raises(LatticeError, match="refuses"):
        publish(spark.range(9), uri, fingerprint="g", check=refuse)
    assert published(uri) == first
    # For readers from outside too, the latest version has the last published rows.
    assert DeltaTable(uri).count() == 5


def test_a_writer_that_is_killed_before_its_checks_publishes_nothing(spark: SparkSession, tmp_path: Path) -> None:
    uri = str(tmp_path / "t")
    first = publish(spark.range(5), uri, fingerprint="f", check=accept)
    spark.range(9).write.format("delta").mode("overwrite").save(uri)
    assert published(uri) == first
    second = publish(spark.range(7), uri, fingerprint="f", check=accept)
    assert published(uri) == second
    assert ids(read(spark, first)) == list(range(5))


def test_the_columns_of_a_next_version_may_differ(spark: SparkSession, tmp_path: Path) -> None:
    uri = str(tmp_path / "t")
    publish(spark.range(5), uri, fingerprint="f", check=accept)
    made = publish(spark.range(3).selectExpr("id", "'x' as other"), uri, fingerprint="g", check=accept)
    assert read(spark, made).columns == ["id", "other"]


def test_files_are_those_of_the_version(spark: SparkSession, tmp_path: Path) -> None:
    uri = str(tmp_path / "t")
    first = publish(spark.range(5).coalesce(1), uri, fingerprint="f", check=accept)
    second = publish(spark.range(3).coalesce(1), uri, fingerprint="g", check=accept)
    assert len(list((tmp_path / "t").glob("*.parquet"))) == 2
    assert len(files(first)) == len(files(second)) == 1
    assert files(first) != files(second)


def test_parquets_settings_reach_its_writer_and_no_other_table(spark: SparkSession, tmp_path: Path) -> None:
    rows = spark.range(20_000).selectExpr(
        "id % 9 AS id",
        "CAST(id % 7 AS STRING) AS name",
        "CAST(id AS FLOAT) / 7 AS number",
        "CAST(CAST(id AS STRING) AS BINARY) AS packed",
    )
    small = {"compression": "snappy", "parquet.block.size": "65536", "parquet.page.size": "8192"}
    made = publish(rows.coalesce(1), str(tmp_path / "t"), fingerprint="f", check=accept, options=small)
    (path,) = files(made)
    parquet = pq.ParquetFile(path.removeprefix("file://"))
    columns = {parquet.schema.names[place]: parquet.metadata.row_group(0).column(place) for place in range(4)}
    coded = {name for name, column in columns.items() if "PLAIN_DICTIONARY" in column.encodings}
    assert coded == {"id", "name"}
    assert {column.compression for column in columns.values()} == {"SNAPPY"}
    assert parquet.num_row_groups > 1
    after = publish(rows.coalesce(1), str(tmp_path / "u"), fingerprint="f", check=accept)
    assert pq.ParquetFile(files(after)[0].removeprefix("file://")).num_row_groups == 1
    assert spark.conf.get("parquet.block.size", None) is None


def test_a_merge_that_is_killed_before_it_is_named_changes_nothing(spark: SparkSession, tmp_path: Path) -> None:
    uri = str(tmp_path / "t")
    for _ in range(3):
        before = publish(spark.range(5).coalesce(1), uri, fingerprint="f", check=accept, append=True)

    def killed(_: Published) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compact(before, killed)
    assert published(uri) == before
    named: list[int] = []
    after = compact(before, lambda made: named.append(made.version))
    assert published(uri) == after
    assert named == [after.version]
    assert len(files(after)) == 1
    assert ids(read(spark, after)) == ids(read(spark, before))


def test_merged_files_keep_the_size_of_row_groups(spark: SparkSession, tmp_path: Path) -> None:
    uri = str(tmp_path / "t")
    for number in range(3):
        rows = spark.range(100).selectExpr("id", "CAST(id AS FLOAT) AS x").coalesce(1)
        before = publish(rows, uri, fingerprint=str(number), check=accept, append=True)
    merged = pq.ParquetFile(files(compact(before, rows_a_group=40))[0]).metadata
    assert [merged.row_group(n).num_rows for n in range(merged.num_row_groups)] == [40] * 7 + [20]
    id_, x = (merged.row_group(0).column(n) for n in range(2))
    assert (id_.has_dictionary_page, x.has_dictionary_page, x.compression) == (True, False, "ZSTD")


def test_nothing_to_add_publishes_what_there_is(spark: SparkSession, tmp_path: Path) -> None:
    uri, told = str(tmp_path / "t"), list[int]()
    first = publish(spark.range(5), uri, fingerprint="f", check=accept, append=True)
    made = publish([], uri, fingerprint="g", check=refuse, append=True, beside=lambda made: told.append(made.version))
    assert published(uri) == made
    assert told == [made.version]
    assert (made.fingerprint, made.rows, files(made)) == ("g", 5, files(first))


def test_the_times_of_a_next_version_may_have_other_names(spark: SparkSession, tmp_path: Path) -> None:
    uri = str(tmp_path / "t")
    times = ("shown", "answered"), ("shown",), ("seen", "closed")
    for names in times:
        columns = (f"timestamp_seconds(id) AS {name}" for name in names)
        made = publish(spark.range(5).selectExpr("id", *columns), uri, fingerprint="f", check=accept)
        assert read(spark, made).columns == ["id", *names]
        assert published(uri) == made


def test_files_are_told_apart_by_their_first_columns_alone(spark: SparkSession, tmp_path: Path) -> None:
    many = spark.range(5).selectExpr("id", *(f"CAST(id AS FLOAT) AS feature_{n}" for n in range(9)), "'7d' AS window")
    frame = leading(many, "id", "window")
    assert frame.columns[:3] == ["id", "window", "feature_0"]
    made = publish(frame.coalesce(1), str(tmp_path / "t"), fingerprint="f", check=accept)
    kept = DeltaTable(made.uri).get_add_actions(flatten=True)
    assert [kept[name].to_pylist() for name in ("min.id", "max.id", "min.window", "num_records")] == [
        [0], [4], ["7d"], [5]
    ]  # fmt: skip
    least = [name for name in kept.schema.names if name.startswith("min.")]
    assert least == [f"min.{name}" for name in frame.columns[:8]]


def test_a_setting_that_the_user_made_stays(spark: SparkSession, tmp_path: Path) -> None:
    key = "parquet.enable.dictionary"
    spark.conf.set(key, "true")
    try:
        publish(spark.range(5), str(tmp_path / "t"), fingerprint="f", check=accept)
        assert spark.conf.get(key) == "true"
    finally:
        spark.conf.unset(key)


def _by_day(spark: SparkSession, uri: str) -> Published:
    """Three versions with the hours of a day each, in a file of its own; every time is 0.9 ms past the hour."""
    made = None
    for day in (1, 2, 3):
        hours = spark.range(24 * day, 24 * (day + 1), numPartitions=1).withColumn(
            "at", F.timestamp_seconds(F.col("id") * 3600 + 0.000_9)
        )
        made = publish(hours, uri, fingerprint="f", append=True, check=accept)
    assert made is not None
    return made


def _hours(first: int, last: int) -> Span:
    return Span(*(datetime(1970, 1, 1, tzinfo=UTC) + timedelta(hours=hour) for hour in (first, last)))


def test_few_rows_are_those_of_the_spans(spark: SparkSession, tmp_path: Path) -> None:
    made = _by_day(spark, str(tmp_path / "t"))
    few = read_few(spark, made, "at", [_hours(30, 50), _hours(90, 200)])
    assert few is not None
    assert few.schema == read(spark, made).schema
    assert ids(few) == [*range(30, 50), *range(90, 96)]
    every = read_few(spark, made)
    assert every is not None
    assert ids(every) == list(range(24, 96))
    assert ids(read_few(spark, made, "at", [EVER])) == list(range(24, 96))  # type: ignore[arg-type]
    assert ids(read_few(spark, made, "at", [_hours(0, 5)])) == []  # type: ignore[arg-type]
    assert count_between(spark, made, "at", _hours(30, 50)) == 20


def test_only_files_that_may_hold_a_span_are_read(spark: SparkSession, tmp_path: Path) -> None:
    made = _by_day(spark, str(tmp_path / "t"))
    every, rows, _ = holding(made)
    assert (set(every), rows) == ({f"file://{path}" for path in files(made)}, 72)
    # 0.9 ms after the hour: Delta's greatest value is cut to the millisecond before it.
    last = Span(_hours(71, 72).start + timedelta(microseconds=500), _hours(72, 73).start)  # type: ignore[operator, arg-type]
    assert holding(made, "at", [last])[1] == 24
    assert count_between(spark, made, "at", last) == 1
    assert holding(made, "at", [_hours(24, 25), _hours(90, 91)])[1] == 48


def test_too_many_rows_are_left_to_spark(spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = _by_day(spark, str(tmp_path / "t"))
    monkeypatch.setattr("pipelines.tables.few.FEW", 47)
    assert read_few(spark, made) is None
    assert read_few(spark, made, "at", [_hours(30, 50)]) is None
    assert read_few(spark, made, "at", [_hours(30, 31)]) is not None


def test_what_is_read_stays_what_it_was(spark: SparkSession, tmp_path: Path) -> None:
    uri = str(tmp_path / "t")
    first = publish(spark.range(5), uri, fingerprint="f", check=accept)
    rows = read(spark, first)
    # As a latest version that someone goes on writing.
    spark.range(9).write.format("delta").mode("append").save(uri)
    assert ids(rows) == ids(read(spark, first)) == list(range(5))


def test_keys_that_are_there_are_found(spark: SparkSession, tmp_path: Path) -> None:
    made = _by_day(spark, str(tmp_path / "t"))
    assert sorted(among(made, "id", pa.array([3, 24, 95, 96])).to_pylist()) == [24, 95]


def _zeroed(file: Path) -> None:
    file.write_bytes(bytes(file.stat().st_size))


def _inside(file: Path) -> None:
    """The footer is sound: the damage shows only where the rows are read."""
    content = bytearray(file.read_bytes())
    content[4 : len(content) // 3] = bytes(len(content) // 3 - 4)
    file.write_bytes(content)


@pytest.mark.parametrize("damage", [_zeroed, _inside, Path.unlink])
def test_a_damaged_file_that_is_read_without_spark_is_one_message(
    spark: SparkSession, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    uri = str(tmp_path / "t")
    rows = spark.range(2000).select("id", F.timestamp_seconds("id").alias("time"), F.sha1(F.hex("id")).alias("name"))
    made = publish(rows.coalesce(1), uri, fingerprint="f", check=accept)
    (path,) = files(made)
    damage(Path(path.removeprefix("file://")))
    span = Span(datetime(1970, 1, 1, 0, 0, 9, tzinfo=UTC), datetime(1970, 1, 1, 0, 20, tzinfo=UTC))
    reads: list[Callable[[], object]] = [
        lambda: read_rows(made),
        lambda: read_few(spark, made, "time", [span]),
        lambda: count_between(spark, made, "time", span),
        lambda: among(made, "name", pa.array(["a"])),
        lambda: value_counts(uri, "name"),
    ]
    for read_them in reads:
        with pytest.raises(LatticeError, match=r"(?s)cannot be read.*Restore the file") as told:
            read_them()
        assert str(tmp_path) in str(told.value)
