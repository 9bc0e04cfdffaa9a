"""The user's own files: the whole video data set, and each kind of bad input."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from pyspark.sql import SparkSession

from pipelines.sources import read_source
from pipelines.sources.base import SourceTables
from pipelines.spans import EVER, Span
from schemas.errors import LatticeError
from schemas.space import ModelSpace
from schemas.space_file import load_space
from schemas.tables import FEEDBACK, attribute_columns, event_columns, impression_columns
from tests.spaces.video import video_tables, write_video

USERS, SHOWN = 8, 1


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("video"), seed=3, users=USERS, shown_a_day=SHOWN)


@pytest.fixture(scope="module")
def tables(spark: SparkSession, video: Path) -> SourceTables:
    return read_source(spark, load_space(video), video.parent)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with one CSV of impressions and one of feedback."""
    (tmp_path / "seen.csv").write_text("user_id,item_id,impression_time,rank\nu1,i1,2024-03-01 12:00:00,1\n")
    (tmp_path / "bought.csv").write_text("user_id,item_id,feedback_time\nu1,i1,2024-03-01T13:00:00Z\n")
    return tmp_path


def _space(folder: Path, **impressions: Any) -> ModelSpace:
    """One domain that reads ``seen.csv`` and one objective; ``impressions`` changes the former's declaration."""
    declared = {
        "name": "shop",
        "time_zone": "Europe/Berlin",
        "id_spaces": {"user": 8},
        "domains": {
            "web": {
                "columns": {"rank": "long"},
                "impressions": {"path": "seen.csv", "format": "csv", **impressions},
            }
        },
        "objectives": {
            "buy": {
                "domains": ["web"],
                "windows": ["1d"],
                "observed": {"from": "2024-03-01T00:00:00Z", "to": "2024-04-01T00:00:00Z"},
                "feedback": {"path": "bought.csv", "format": "csv"},
            }
        },
        "features": {"categorical": {"user": {"column": "user_id", "id_space": "user"}}},
        "groups": {"all": {"windows": ["1d"]}},
        "splits": {
            "validation": {"from": "2024-03-10", "to": "2024-03-11"},
            "test": {"from": "2024-03-12", "to": "2024-03-13"},
        },
    }
    path = folder / "shop.yaml"
    path.write_text(yaml.safe_dump(declared))
    return load_space(path)


def _problem(spark: SparkSession, folder: Path, **impressions: Any) -> LatticeError:
    with pytest.raises(LatticeError) as error:
        read_source(spark, _space(folder, **impressions), folder)
    return error.value


def test_every_table_is_read_whole_with_the_declared_columns(tables: SourceTables, video: Path) -> None:
    space, written = load_space(video), video_tables(3, USERS, SHOWN)
    spark_names = {"long": "bigint"}
    expected = [
        *((tables.impressions[n], impression_columns(d), written[n]) for n, d in space.domains.items()),
        (tables.feedback["click"], FEEDBACK, written["clicks"]),
        (tables.feedback["subscribe"], FEEDBACK, written["subscriptions"]),
        (tables.events["plays"], event_columns(space.events["plays"]), written["plays"]),
        (tables.attributes["viewer"], attribute_columns(space.attributes["viewer"]), written["viewers"]),
        (tables.attributes["clip"], attribute_columns(space.attributes["clip"]), written["clips"]),
    ]
    for frame, columns, table in expected:
        assert frame.dtypes == [(column.name, spark_names.get(column.type, column.type)) for column in columns]
        assert frame.count() == len(table)


def test_times_are_the_same_whether_a_file_holds_them_local_or_in_utc(tables: SourceTables) -> None:
    written = video_tables(3, USERS, SHOWN)
    feed = tables.impressions["feed"].toPandas()
    local = pd.to_datetime(written["feed"]["shown_at"]).dt.tz_localize("Europe/Berlin").dt.tz_convert("UTC")
    assert feed.set_index("source_key")["impression_time"].to_dict() == dict(
        zip(written["feed"]["id"], local.dt.tz_localize(None), strict=True)
    )
    clicks = tables.feedback["click"].toPandas().set_index("source_key")
    at = written["clicks"].set_index("impression")["clicked_at"].dt.tz_localize(None)
    assert clicks["feedback_time"].to_dict() == at.to_dict()
    assert (clicks["feedback_time"] == clicks["arrival_time"]).all()


def test_columns_that_a_file_leaves_out_have_their_defaults(spark: SparkSession, folder: Path) -> None:
    tables = read_source(spark, _space(folder), folder)
    seen = tables.impressions["web"].collect()
    noon = datetime(2024, 3, 1, 11)
    assert [tuple(row) for row in seen] == [('["u1","i1","1709290800000000"]', "u1", "i1", noon, noon, 1)]
    (bought,) = tables.feedback["buy"].collect()
    assert (bought.arrival_time, bought.source_key, bought.domain, bought.value) == (
        datetime(2024, 3, 1, 13), None, None, None,
    )  # fmt: skip


def test_null_ids_pass_to_the_expectation_suites(spark: SparkSession, folder: Path) -> None:
    (folder / "seen.csv").write_text("user_id,item_id,impression_time,rank\n,i1,2024-03-01 12:00:00,\n")
    (row,) = read_source(spark, _space(folder), folder).impressions["web"].collect()
    assert (row.user_id, row.item_id, row.rank) == (None, "i1", None)


@pytest.mark.parametrize("span", [EVER, Span(datetime(2024, 3, 2, tzinfo=UTC), datetime(2024, 3, 3, tzinfo=UTC))])
def test_a_row_without_a_time_is_refused_and_not_lost(spark: SparkSession, folder: Path, span: Span) -> None:
    rows = "u1,i1,2024-03-02 12:00:00,1\nu1,i2,,2\n"
    (folder / "seen.csv").write_text("user_id,item_id,impression_time,rank\n" + rows)
    with pytest.raises(LatticeError) as error:
        read_source(spark, _space(folder), folder, span)
    assert error.value.problem == "The column 'impression_time' is empty in 1 of 2 rows; every row needs this time."


@pytest.mark.parametrize("arrival", [False, True])
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_span_reads_and_tries_what_arrives_in_it(spark: SparkSession, folder: Path, kind: str, arrival: bool) -> None:
    days = pd.date_range("2024-03-01", periods=4, tz="UTC")
    shown = pd.DataFrame({"user_id": "u1", "item_id": ["i1", "i2", "i3", "i4"], "impression_time": days, "rank": 1})
    if arrival:
        shown["arrival_time"] = days + pd.Timedelta(days=1)
    path = folder / f"shown.{kind}"
    if kind == "csv":
        # What arrived on another day was tried then, or will be.
        shown = shown.astype({"rank": str})
        shown.loc[0, "rank"] = "first"
        shown.to_csv(path, index=False)
    else:
        shown.to_parquet(path, coerce_timestamps="us")
    night = Span(datetime(2024, 3, 3, tzinfo=UTC), datetime(2024, 3, 4, tzinfo=UTC))
    read = read_source(spark, _space(folder, path=path.name, format=kind), folder, night)
    assert [row.item_id for row in read.impressions["web"].collect()] == ["i2" if arrival else "i3"]


def test_a_day_may_be_empty_but_a_table_may_not(spark: SparkSession, folder: Path) -> None:
    night = Span(datetime(2024, 3, 20, tzinfo=UTC), datetime(2024, 3, 21, tzinfo=UTC))
    assert read_source(spark, _space(folder), folder, night).impressions["web"].isEmpty()
    (folder / "seen.csv").write_text("user_id,item_id,impression_time,rank\n")
    with pytest.raises(LatticeError, match="The table is empty"):
        read_source(spark, _space(folder), folder, night)


def test_a_missing_column_is_named_with_what_was_found_and_the_nearest(spark: SparkSession, folder: Path) -> None:
    (folder / "seen.csv").write_text("user_id,item,impression_time,rank\nu1,i1,2024-03-01,1\n")
    error = _problem(spark, folder)
    assert error.place == f"domains.web.impressions ({folder / 'seen.csv'})"
    assert error.problem == (
        "The column 'item_id' is missing; found: user_id, item, impression_time, rank. The nearest is 'item'."
    )


def test_a_mapped_column_must_be_there_even_if_it_has_a_default(spark: SparkSession, folder: Path) -> None:
    assert "'key' is missing" in _problem(spark, folder, columns={"source_key": "key"}).problem


def test_only_columns_of_the_table_can_be_mapped(spark: SparkSession, folder: Path) -> None:
    error = _problem(spark, folder, columns={"viewer": "user_id"})
    assert "no column 'viewer'" in error.problem
    assert "source_key, user_id, item_id, impression_time, arrival_time, rank" in error.remedy


def test_values_of_a_wrong_type_are_counted_with_an_example(spark: SparkSession, folder: Path) -> None:
    rows = "u1,i1,2024-03-01,1\nu1,i2,2024-03-01,top\nu1,i3,2024-03-01,first\nu1,i4,2024-03-01,\n"
    (folder / "seen.csv").write_text("user_id,item_id,impression_time,rank\n" + rows)
    error = _problem(spark, folder)
    assert error.problem == "The column 'rank' is declared long, which 2 of 4 values are not, such as 'first'."
    assert "seen.csv" in error.place


def test_a_column_of_a_type_that_cannot_be_the_declared_one_is_named(spark: SparkSession, folder: Path) -> None:
    moment = pd.Timestamp("2024-03-01", tz="UTC")
    seen = pd.DataFrame({"user_id": [1.0], "item_id": ["i1"], "impression_time": [moment], "rank": [1]})
    seen.to_parquet(folder / "seen.parquet", coerce_timestamps="us")
    error = _problem(spark, folder, path="seen.parquet", format="parquet")
    assert error.problem == "The column 'user_id' is of type double, where string is declared."


def _parquet(folder: Path, parts: int = 1, **changed: Any) -> Path:
    moment = pd.Timestamp("2024-03-01", tz="UTC")
    seen = pd.DataFrame({"user_id": ["u1"], "item_id": ["i1"], "impression_time": [moment], "rank": [1], **changed})
    (folder / "seen").mkdir()
    for part in range(parts):
        seen.to_parquet(folder / "seen" / f"part-{part}.parquet", coerce_timestamps="us")
    return folder / "seen" / f"part-{parts - 1}.parquet"


def test_of_several_parquet_files_the_truncated_one_is_named(spark: SparkSession, folder: Path) -> None:
    last = _parquet(folder, parts=3)
    last.write_bytes(last.read_bytes()[:-20])
    error = _problem(spark, folder, path="seen", format="parquet")
    assert error.place.endswith("seen/part-2.parquet")
    assert "cut short" in error.problem


def test_a_single_truncated_parquet_file_is_named(spark: SparkSession, folder: Path) -> None:
    only = _parquet(folder)
    only.write_bytes(only.read_bytes()[:100])
    error = _problem(spark, folder, path="seen/part-0.parquet", format="parquet")
    assert error.place.endswith("seen/part-0.parquet")
    assert "cut short" in error.problem


def test_timestamps_in_nanoseconds_are_answered_with_how_to_write_them(spark: SparkSession, folder: Path) -> None:
    _parquet(folder).unlink()
    seen = pd.DataFrame({"impression_time": [pd.Timestamp("2024-03-01", tz="UTC")]})
    seen.to_parquet(folder / "seen" / "part-0.parquet")
    error = _problem(spark, folder, path="seen", format="parquet")
    assert "nanoseconds" in error.problem
    assert "microseconds" in error.remedy


def _header_only(folder: Path) -> None:
    (folder / "seen.csv").write_text("user_id,item_id,impression_time,rank\n")


def _nothing_at_all(folder: Path) -> None:
    (folder / "seen.csv").write_text("")


def _gone(folder: Path) -> None:
    (folder / "seen.csv").unlink()


def _ragged(folder: Path) -> None:
    with (folder / "seen.csv").open("a") as file:
        file.write("u1,i1,2024-03-01,1,what\n")


def _other_header(folder: Path) -> None:
    text = (folder / "seen.csv").read_text()
    _gone(folder)
    (folder / "seen.csv").mkdir()
    (folder / "seen.csv" / "1.csv").write_text(text)
    (folder / "seen.csv" / "2.csv").write_text(text.replace("user_id,item_id", "item_id,user_id"))


@pytest.mark.parametrize(
    ("harm", "problem"),
    [
        (_header_only, "The table is empty."),
        (_nothing_at_all, "The table is empty."),
        (_gone, "There is no such file or folder."),
        (_ragged, "A row of the CSV has more or fewer fields than the header."),
        (_other_header, "The CSV files of this folder have different headers."),
    ],
)
def test_a_harmed_csv_is_named(spark: SparkSession, folder: Path, harm: Callable[[Path], None], problem: str) -> None:
    harm(folder)
    error = _problem(spark, folder)
    assert problem in error.problem
    assert "seen.csv" in error.place


def test_an_empty_folder_and_a_folder_that_is_no_delta_table_are_named(spark: SparkSession, folder: Path) -> None:
    (folder / "empty").mkdir()
    assert "no data file" in _problem(spark, folder, path="empty", format="parquet").problem
    assert "no Delta table" in _problem(spark, folder, path="empty", format="delta").problem


def test_a_delta_version_that_is_gone_is_named(spark: SparkSession, video: Path) -> None:
    space = load_space(video)
    click = space.objectives["click"]
    assert click.feedback is not None
    later = click.model_copy(update={"feedback": click.feedback.model_copy(update={"version": 7})})
    changed = space.model_copy(update={"domains": {}, "objectives": {"click": later}})
    with pytest.raises(LatticeError, match="no such version"):
        read_source(spark, changed, video.parent)


def test_a_table_without_a_file_is_named(spark: SparkSession, folder: Path) -> None:
    space = _space(folder)
    buy = space.objectives["buy"].model_copy(update={"feedback": None})
    with pytest.raises(LatticeError) as error:
        read_source(spark, space.model_copy(update={"objectives": {"buy": buy}}), folder)
    assert error.value.place == "objectives.buy.feedback"


def test_matching_by_the_impressions_key_needs_the_key_on_both_sides(spark: SparkSession, folder: Path) -> None:
    space = _space(folder)
    buy = space.objectives["buy"].model_copy(update={"match": "impression"})
    space = space.model_copy(update={"objectives": {"buy": buy}})
    with pytest.raises(LatticeError, match="'source_key' is missing") as error:
        read_source(spark, space, folder)
    assert error.value.place.startswith("domains.web.impressions")

    (folder / "seen.csv").write_text("source_key,user_id,item_id,impression_time,rank\nk1,u1,i1,2024-03-01,1\n")
    with pytest.raises(LatticeError, match="'source_key' is missing") as error:
        read_source(spark, space, folder)
    assert error.value.place.startswith("objectives.buy.feedback")

    (folder / "bought.csv").write_text("source_key,user_id,item_id,feedback_time\nk1,u1,i1,2024-03-02\n")
    (bought,) = read_source(spark, space, folder).feedback["buy"].collect()
    assert (bought.source_key, bought.domain) == ("k1", "web")


def test_keyed_feedback_names_a_domain_of_its_objective(spark: SparkSession, folder: Path) -> None:
    (folder / "bought.csv").write_text(
        "user_id,item_id,feedback_time,source_key,domain\n"
        "u1,i1,2024-03-01T13:00:00Z,a,web\nu1,i1,2024-03-01T13:00:00Z,a,wep\n"
    )
    (folder / "seen.csv").write_text("user_id,item_id,impression_time,rank,source_key\nu1,i1,2024-03-01,1,a\n")
    _space(folder)
    declared = yaml.safe_load((folder / "shop.yaml").read_text())
    declared["domains"]["app"] = declared["domains"]["web"]
    declared["objectives"]["buy"] |= {"match": "impression", "domains": ["web", "app"]}
    (folder / "shop.yaml").write_text(yaml.safe_dump(declared))
    with pytest.raises(LatticeError, match="1 rows name the domain 'wep'") as error:
        read_source(spark, load_space(folder / "shop.yaml"), folder)
    assert "web, app" in error.value.remedy


def test_an_unknown_source_is_answered_with_those_there_are(spark: SparkSession, folder: Path) -> None:
    space = _space(folder)
    changed = space.model_copy(update={"source": space.source.model_copy(update={"kind": "kafka"})})
    with pytest.raises(LatticeError) as error:
        read_source(spark, changed, folder)
    assert "files" in error.value.remedy
