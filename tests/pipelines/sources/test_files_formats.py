"""The user's own files in every format and layout that they come in: the same rows, whatever holds them."""

import gzip
import json
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from deltalake import write_deltalake
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from pipelines.sources.files import read_table
from pipelines.spans import EVER, Span
from schemas.errors import LatticeError
from schemas.space import TableFile
from schemas.tables import IMPRESSION, TableColumn

COLUMNS = (*IMPRESSION, TableColumn(name="rank", type="long", nullable=True))
MAPPED = {"user_id": "customer", "item_id": "product", "impression_time": "at", "source_key": "key"}
TIMES = [datetime(2024, 3, 1, 12, tzinfo=UTC), datetime(2024, 3, 2, 12, tzinfo=UTC)]
SHOWN = pd.DataFrame(
    {"customer": ["007", "u2"], "product": ["i1", "ä"], "at": TIMES, "key": ["k1", "k2"], "rank": [1, 2]}
)
EXPECTED = [("k1", "007", "i1", "2024-03-01T12:00", 1), ("k2", "u2", "ä", "2024-03-02T12:00", 2)]


def read(spark: SparkSession, folder: Path, span: Span = EVER, /, **file: Any) -> list[tuple[object, ...]]:
    declared = TableFile.model_validate({"columns": MAPPED, **file})
    rows = read_table(
        spark, "shown", declared, COLUMNS, {"arrival_time": F.col("impression_time")}, folder, "UTC", span
    ).collect()
    found = [(r.source_key, r.user_id, r.item_id, f"{r.impression_time:%Y-%m-%dT%H:%M}", r.rank) for r in rows]
    return sorted(found)


def _csv(path: Path) -> None:
    SHOWN.to_csv(path, index=False)


def _lines(path: Path) -> None:
    SHOWN.to_json(path, orient="records", lines=True, date_format="iso")


def _parquet(path: Path) -> None:
    SHOWN.to_parquet(path, coerce_timestamps="us")


FILES: dict[str, tuple[dict[str, str], Callable[[Path], None]]] = {
    "shown.csv": ({"format": "csv"}, _csv),
    "shown.csv.gz": ({"format": "csv"}, _csv),
    "shown.tsv": ({"format": "csv", "separator": "\t"}, lambda path: SHOWN.to_csv(path, index=False, sep="\t")),
    "shown.jsonl": ({"format": "json"}, _lines),
    "shown.jsonl.gz": ({"format": "json"}, _lines),
    "shown.parquet": ({"format": "parquet"}, _parquet),
    "shown": ({"format": "delta"}, lambda path: write_deltalake(str(path), SHOWN)),
}


@pytest.mark.parametrize("name", FILES)
def test_every_format_gives_the_same_rows(spark: SparkSession, tmp_path: Path, name: str) -> None:
    declared, write = FILES[name]
    write(tmp_path / name)
    assert read(spark, tmp_path, path=name, **declared) == EXPECTED


def test_a_folder_may_hold_several_files_and_a_glob_may_name_them(spark: SparkSession, tmp_path: Path) -> None:
    for number in range(2):
        SHOWN.iloc[[number]].to_json(tmp_path / f"part-{number}.jsonl", orient="records", lines=True, date_format="iso")
    (tmp_path / "other.txt").write_text("nothing of ours")
    assert read(spark, tmp_path, path="part-*.jsonl", format="json") == EXPECTED


def test_a_line_that_is_cut_is_named_and_not_taken_for_an_empty_row(spark: SparkSession, tmp_path: Path) -> None:
    path = tmp_path / "shown.jsonl"
    _lines(path)
    path.write_text(path.read_text() + '{"customer": "u3", "prod')
    with pytest.raises(LatticeError, match="not a whole JSON object") as error:
        read(spark, tmp_path, path=path.name, format="json")
    assert "shown.jsonl" in error.value.place


def test_json_numbers_are_ids_if_they_are_whole(spark: SparkSession, tmp_path: Path) -> None:
    at = "2024-03-01T12:00:00Z"
    rows = [{"customer": 7, "product": "i1", "at": at, "key": 12345678901, "rank": "3"}]
    (tmp_path / "shown.json").write_text("\n".join(map(json.dumps, rows)))
    assert read(spark, tmp_path, path="shown.json", format="json") == [
        ("12345678901", "7", "i1", "2024-03-01T12:00", 3)
    ]
    rows[0]["customer"] = 7.5
    (tmp_path / "shown.json").write_text("\n".join(map(json.dumps, rows)))
    with pytest.raises(LatticeError, match="'customer' is of type double"):
        read(spark, tmp_path, path="shown.json", format="json")


@pytest.mark.parametrize("kind", ["csv", "json", "parquet"])
def test_folders_named_by_a_column_are_that_column_as_text(spark: SparkSession, tmp_path: Path, kind: str) -> None:
    write = {"csv": _csv, "json": _lines, "parquet": _parquet}[kind]
    for customer in SHOWN["customer"]:
        inner = tmp_path / "shown" / f"customer={customer}"
        inner.mkdir(parents=True)
        write(inner / f"part.{kind}")
        whole = SHOWN[SHOWN["customer"] == customer].drop(columns="customer")
        {
            "csv": lambda w, p: w.to_csv(p, index=False),
            "json": lambda w, p: w.to_json(p, orient="records", lines=True, date_format="iso"),
            "parquet": lambda w, p: w.to_parquet(p, coerce_timestamps="us", index=False),
        }[kind](whole, inner / f"part.{kind}")
    # 007 is an id and no number.
    assert read(spark, tmp_path, path="shown", format=kind) == EXPECTED


def test_folders_that_are_not_named_alike_are_refused(spark: SparkSession, tmp_path: Path) -> None:
    for name in ("day=2024-03-01", "date=2024-03-02"):
        (tmp_path / "shown" / name).mkdir(parents=True)
        _parquet(tmp_path / "shown" / name / "part.parquet")
    with pytest.raises(LatticeError, match="not named alike"):
        read(spark, tmp_path, path="shown", format="parquet")


def test_a_partition_that_is_delivered_later_arrives_then(spark: SparkSession, tmp_path: Path) -> None:
    """Its folder says the day; a row arrives on it, yet never before it happens."""
    for day, rows in (("2024-03-01", SHOWN.iloc[[0]]), ("2024-03-05", SHOWN.iloc[[1]])):
        (tmp_path / "shown" / f"delivered={day}").mkdir(parents=True)
        rows.to_csv(tmp_path / "shown" / f"delivered={day}" / "part.csv", index=False)
    declared: dict[str, Any] = {"path": "shown", "format": "csv", "columns": {**MAPPED, "arrival_time": "delivered"}}
    days = [datetime(2024, 3, number, tzinfo=UTC) for number in range(1, 7)]
    read_on = [read(spark, tmp_path, Span(*night), **declared) for night in pairwise(days)]
    assert read_on == [[EXPECTED[0]], [], [], [], [EXPECTED[1]]]


def test_a_delta_table_is_read_by_version_or_as_of_an_instant(spark: SparkSession, tmp_path: Path) -> None:
    uri = str(tmp_path / "shown")
    write_deltalake(uri, SHOWN.iloc[[0]])
    write_deltalake(uri, SHOWN.iloc[[1]], mode="append")
    # The instant of a version is when its file of the log was modified.
    first, second = (datetime(2024, 3, day, 2, 55, 16, tzinfo=UTC) for day in (1, 2))
    for version, committed in enumerate((first, second)):
        file = tmp_path / "shown" / "_delta_log" / f"{version:020}.json"
        os.utime(file, (committed.timestamp(), committed.timestamp()))
    declared: dict[str, Any] = {"path": "shown", "format": "delta"}
    assert read(spark, tmp_path, **declared, version=0) == EXPECTED[:1]
    assert read(spark, tmp_path, **declared, version=1) == EXPECTED
    assert read(spark, tmp_path, **declared, as_of=second - timedelta(hours=1)) == EXPECTED[:1]
    assert read(spark, tmp_path, **declared, as_of=second) == EXPECTED
    with pytest.raises(LatticeError, match="no such version"):
        read(spark, tmp_path, **declared, as_of=first - timedelta(days=1))
    with pytest.raises(LatticeError, match="no such version"):
        read(spark, tmp_path, **declared, version=7)


def test_a_key_may_be_made_of_several_columns(spark: SparkSession, tmp_path: Path) -> None:
    _csv(tmp_path / "shown.csv")
    declared: dict[str, Any] = {
        "path": "shown.csv",
        "format": "csv",
        "columns": {**MAPPED, "source_key": ["customer", "product"]},
    }
    assert [row[0] for row in read(spark, tmp_path, **declared)] == ['["007","i1"]', '["u2","ä"]']
    declared["columns"] = {**MAPPED, "source_key": ["customer", "produkt"]}
    with pytest.raises(LatticeError, match="'produkt' is missing"):
        read(spark, tmp_path, **declared)


def test_a_file_that_only_claims_to_be_compressed_is_named(spark: SparkSession, tmp_path: Path) -> None:
    whole = gzip.compress(SHOWN.to_csv(index=False).encode())
    (tmp_path / "shown.csv.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(LatticeError) as error:
        read(spark, tmp_path, path="shown.csv.gz", format="csv")
    assert "shown.csv.gz" in error.value.place
    assert "Unexpected end" in error.value.problem or "cut short" in error.value.problem


@pytest.mark.parametrize(
    ("declared", "says"),
    [
        ({"format": "csv", "version": 1}, "of Delta tables"),
        ({"format": "delta", "version": 1, "as_of": "2024-03-01T00:00:00Z"}, "not both"),
        ({"format": "delta", "as_of": "2024-03-01T00:00:00"}, "needs a zone"),
        ({"format": "parquet", "separator": ";"}, "of CSV"),
        ({"format": "csv", "columns": {"user_id": ["a", "b"]}}, "only source_key"),
    ],
)
def test_what_does_not_go_together_is_refused(declared: dict[str, object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        TableFile.model_validate({"path": "x", **declared})
