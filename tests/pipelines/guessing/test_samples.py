"""What is read of a table: all of a small one, both ends of a large CSV, rows from all over large Parquet."""

import json
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.guessing import csv_rows, json_rows, parquet_rows
from pipelines.guessing.samples import read_sample, read_samples
from schemas.errors import LatticeError

FIELD = st.text(alphabet='ab,"\n ', max_size=6)


@settings(deadline=None)
@given(st.lists(st.tuples(FIELD, FIELD), min_size=1, max_size=40), st.integers(1, 200))
def test_a_csv_is_cut_between_records(rows: list[tuple[str, str]], size: int) -> None:
    quoted = ['"' + one.replace('"', '""') + '",' + '"' + other.replace('"', '""') + '"\n' for one, other in rows]
    block = "".join(quoted).encode()
    ends = {len("".join(quoted[:number]).encode()) for number in range(len(rows) + 1)}
    assert csv_rows._last_end(block[:size]) in ends
    tail = block[-size:]
    assert len(block) - len(tail) + csv_rows._first_start(tail) in ends


def test_of_a_large_csv_both_ends_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_rows, "HEAD", 400)
    monkeypatch.setattr(csv_rows, "TAIL", 200)
    path = tmp_path / "log.csv"
    pd.DataFrame({"row": range(1000), "text": 'say ""\n'}).to_csv(path, index=False)
    found = read_sample("log", path)
    rows = [int(row) for row in found.rows["row"].to_pylist()]
    first = next(number for number, row in enumerate(rows) if number != row)
    assert not found.whole
    assert 15 < first < 40
    assert rows[first:] == list(range(1000 - len(rows) + first, 1000))
    assert set(found.rows["text"].to_pylist()) == {'say ""\n'}


@pytest.mark.parametrize("rows", range(40, 80))
def test_no_row_is_read_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    monkeypatch.setattr(csv_rows, "HEAD", 150)
    monkeypatch.setattr(csv_rows, "TAIL", 150)
    path = tmp_path / "log.csv"
    path.write_text("row\n" + "".join(f"{row}\n" for row in range(10, 10 + rows)))
    found = read_sample("log", path)
    read = found.rows["row"].to_pylist()
    assert len(read) == len(set(read))
    assert (read[0], read[-1]) == ("10", str(9 + rows))


def test_of_large_parquet_rows_from_all_over_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_rows, "ROWS", 100)
    for day in range(1, 6):
        folder = tmp_path / "shown" / f"day=2024-05-0{day}"
        folder.mkdir(parents=True)
        pd.DataFrame({"row": range(1000)}).to_parquet(folder / "part.parquet", row_group_size=500)
    found = read_sample("shown", tmp_path / "shown")
    assert not found.whole
    # Ten row groups give ten rows each.
    counts = pd.Series(found.rows["day"].to_pylist()).value_counts()
    assert counts.to_dict() == {f"2024-05-0{day}": 20 for day in range(1, 6)}
    assert sorted(set(found.rows["row"].to_pylist())) == [*range(10), *range(500, 510)]


def test_a_gzipped_csv_and_a_folder_of_csv(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    for part in range(3):
        pd.DataFrame({"row": [part]}).to_csv(tmp_path / "parts" / f"{part}.csv.gz", index=False)
    (found,) = read_samples([tmp_path / "parts"])
    assert (found.name, found.format, found.whole) == ("parts", "csv", True)
    assert found.rows["row"].to_pylist() == ["0", "1", "2"]


def test_json_lines_are_read_as_spark_takes_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "log.jsonl"
    rows = [
        {"row": row, "kind": row if row % 2 else "even", **({"late": row / 2} if row > 3 else {})} for row in range(90)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = read_sample("log", path)
    assert (found.format, found.whole, found.extent) == ("json", True, "all its 90 rows")
    assert found.rows["row"].to_pylist() == [*range(90)]
    assert found.rows["kind"].to_pylist()[:3] == ["even", "1", "even"]
    assert found.rows["late"].to_pylist()[:6] == [None, None, None, None, 2.0, 2.5]
    monkeypatch.setattr(json_rows, "HEAD", 400)
    monkeypatch.setattr(json_rows, "TAIL", 200)
    ends = read_sample("log", path)
    read = ends.rows["row"].to_pylist()
    assert not ends.whole and 10 < len(read) == len(set(read)) < 40
    assert read[0] == 0 and read[-1] == 89


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_what_stands_between_two_fields(tmp_path: Path, separator: str) -> None:
    pd.DataFrame({"a": [1, 2], "b,c": ["x", "y"], "d": [3, 4]}).to_csv(tmp_path / "log.csv", index=False, sep=separator)
    found = read_sample("log", tmp_path / "log.csv")
    assert found.separator == separator
    assert found.rows.to_pydict() == {"a": ["1", "2"], "b,c": ["x", "y"], "d": ["3", "4"]}


def test_columns_in_nanoseconds_are_found(tmp_path: Path) -> None:
    times = pd.DataFrame({"at": pd.to_datetime(["2024-05-01"])})
    times.to_parquet(tmp_path / "new.parquet")
    times.to_parquet(tmp_path / "old.parquet", use_deprecated_int96_timestamps=True)
    times.to_parquet(tmp_path / "fine.parquet", coerce_timestamps="us")
    found = {name: read_sample(name, tmp_path / f"{name}.parquet").nanoseconds for name in ("new", "old", "fine")}
    assert found == {"new": {"at"}, "old": set(), "fine": set()}


MISTAKES = {
    "missing.csv": (None, "no such file"),
    "empty.csv": (b"", "empty"),
    "header.csv": (b"a,b\n", "empty"),
    "ragged.csv": (b"a,b\n1,2\n1,2,3\n", "cannot be read as csv"),
    "latin.csv": ("a,b\n1,ü\n".encode("latin-1"), "cannot be read as csv"),
    "array.json": (b'[\n{"a": 1},\n{"a": 2}\n]\n', "a line is not a whole JSON object: '['"),
    "cut.jsonl": (b'{"a": 1}\n{"a": ', "a line is not a whole JSON object"),
    "empty.ndjson": (b"\n", "empty"),
    "twice.csv": (b"a,a\n1,2\n", "Two columns are called 'a'"),
    "cut.parquet": (b"PAR1 and nothing more", "cannot be read as parquet"),
    "table.xlsx": (b"PK", "not a table"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_file_that_cannot_be_read(tmp_path: Path, name: str) -> None:
    content, says = MISTAKES[name]
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(LatticeError) as refused:
        read_samples([tmp_path / name])
    assert refused.value.place == str(tmp_path / name)
    assert says in refused.value.problem


def test_a_delta_log_that_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "orders" / "_delta_log").mkdir(parents=True)
    with pytest.raises(LatticeError, match="cannot be read as delta"):
        read_samples([tmp_path / "orders"])


def test_two_tables_of_one_name(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "log.csv").write_text("x\n1\n")
    with pytest.raises(LatticeError, match="would be called 'log'"):
        read_samples([tmp_path / "a" / "log.csv", tmp_path / "b" / "log.csv"])
