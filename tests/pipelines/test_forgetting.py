"""Who is on the list is left out, and found under every name that a table may have for them."""

from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from pipelines.forgetting import FILE, PLACE, holding, ids_of, read_files, without_users
from pipelines.keyed import keyed_text
from pipelines.privacy import possible_ids, side_keys, with_side_ids
from schemas.space import ModelSpace
from tests.pipelines.space import declaration


def test_who_is_on_the_list_is_left_out_and_nobody_else(spark: SparkSession) -> None:
    key = b"a key"
    listed = [(keyed_text(key, user), "k") for user in ("gone", "ünicode", "never here")]
    forgotten = spark.createDataFrame(listed, "user string, key string")
    users = [("gone",), ("stays",), (None,), ("ünicode",), ("gone ",), ("gone",)]
    rows = spark.createDataFrame(users, "user_id string")
    found = without_users(rows, forgotten, key)
    assert found.columns == ["user_id"]
    assert {row["user_id"] for row in found.collect()} == {"stays", None, "gone "}
    assert without_users(rows, forgotten, b"another").count() == len(users)


def test_a_user_is_known_by_the_names_of_all_sides(spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LATTICE_PRIVACY_KEY", "k" * 32)
    declared = declaration()
    declared["privacy"] = [{"between": ["feed", "search"], "forbid": ["users"]}]
    for section, name in (("events", "views"), ("objectives", "buy")):
        declared[section][name]["origin"] = ["search"]
    declared["attributes"]["item"]["origin"] = []
    space = ModelSpace.model_validate(declared)
    rows = spark.createDataFrame([("feed", "u"), ("search", "u"), ("feed", "v")], "domain string, user_id string")
    on_sides = [row["user_id"] for row in with_side_ids(rows, side_keys(space, "all")).collect()]
    assert len(set(on_sides)) == 3
    names = possible_ids(space, "all", "u")
    assert len(set(names)) == 3 and "u" in names
    assert [name in names for name in on_sides] == [True, True, False]


def test_files_of_every_version_are_looked_at(spark: SparkSession, tmp_path: Path) -> None:
    for number, users in enumerate((["a", "b", "b"], ["c"], ["b", "x"])):
        rows = spark.createDataFrame([(user, number) for user in users], "user_id string, other int").coalesce(1)
        rows.write.parquet(str(tmp_path / str(number)))
    paths = sorted(str(path) for path in tmp_path.glob("*/*.parquet"))
    ids = ids_of(spark, [(0, "b"), (0, "x"), (1, "q")])
    found = holding(read_files(spark, paths, "user_id string"), ids, "user_id")
    assert {(row[FILE], row[PLACE], row["rows"]) for row in found.collect()} == {
        (Path(paths[0]).name, 0, 2), (Path(paths[2]).name, 0, 2),
    }  # fmt: skip
    assert holding(read_files(spark, [], "user_id string"), ids, "user_id").count() == 0
