"""Nights, one by one and in one go, against a whole build of the same days."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import SparkSession
from typer.testing import CliRunner

from jobs import zip as zip_job
from jobs.build import STAGES
from jobs.cli import application
from jobs.compact import compact_tables
from jobs.models import current_manifest, pinned_files
from jobs.nightly import days, run_night
from jobs.plan import plan_of
from jobs.rollback import roll_back_to
from jobs.runs import records
from jobs.stages import run_stages
from jobs.target import Target
from pipelines.tables import Published, files, published, read, read_delta, restore
from schemas.errors import LatticeError
from tests.spaces.video import write_video

LAST = date(2024, 4, 14)


NOBODYS = "feed-nobody"
"""The impression without a viewer."""
LATE = 17
"""Of so many impressions, and subscriptions, one arrives after it was due."""


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = write_video(tmp_path_factory.mktemp("video"), seed=5, users=12, shown_a_day=2)
    _delay(path, "feed", "shown_at", pd.Timedelta(hours=36))
    _delay(path, "subscriptions", "subscribed_at", pd.Timedelta(days=4))
    _spoil(path)
    declared = path.read_text(encoding="utf-8")
    thinned = declared.replace("    windows: [90m, 2d]\n\n", "    windows: [90m, 2d]\n    negatives: {feed: 0.5}\n\n")
    assert thinned != declared
    path.write_text(f"{thinned}\nquality: {{quarantine: 0.05}}\n", encoding="utf-8")
    return path


def _spoil(space: Path) -> None:
    """Give the feed a row that is there twice, one without a viewer, and a key that comes back on a much later day."""
    feed = pd.read_csv(space.parent / "feed.csv")
    later = f"{LAST - timedelta(days=1)} 12:00:00"
    bad = [
        feed.loc[101],
        pd.concat([feed.loc[102].drop(["id", "viewer"]), pd.Series({"id": NOBODYS})]),
        pd.concat([feed.loc[103].drop(["shown_at", "arrived"]), pd.Series({"shown_at": later, "arrived": later})]),
    ]
    pd.concat([feed, pd.DataFrame(bad)]).to_csv(space.parent / "feed.csv", index=False)


def _delay(space: Path, table: str, time: str, delay: pd.Timedelta) -> None:
    """Give a table a column with the time at which its rows arrived."""
    rows = pd.read_csv(space.parent / f"{table}.csv")
    late = np.arange(len(rows)) % LATE == 3
    rows["arrived"] = rows[time].where(~late, (pd.to_datetime(rows[time]) + delay).astype(str))
    rows.to_csv(space.parent / f"{table}.csv", index=False)
    text = space.read_text(encoding="utf-8")
    before, mapped, after = text.partition(f"path: {table}.csv")
    assert mapped
    space.write_text(
        before + mapped + after.replace("columns: {", "columns: {arrival_time: arrived, ", 1), encoding="utf-8"
    )


@pytest.fixture(scope="module")
def built(space: Path, spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Target:
    target = Target.parse(str(space), str(tmp_path_factory.mktemp("built")), "all")
    run_stages(target, STAGES)
    return target


@pytest.fixture(scope="module")
def grown(space: Path, spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Target:
    """Everything before a day in several parts, a night that is killed and run again, and what is left in one go."""
    target = Target.parse(str(space), str(tmp_path_factory.mktemp("grown")), "all")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("jobs.parts.ROWS", 250)
        run_night(target, LAST - timedelta(days=12))
    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("jobs.zip.available_outcomes", _killed)
        run_night(target, LAST - timedelta(days=11))
    # What a killed writer leaves behind its publication is no one's.
    unified = published(target.group_table("unified"))
    assert unified is not None
    read(spark, unified).limit(3).write.format("delta").mode("append").save(unified.uri)
    run_night(target, LAST - timedelta(days=11))
    run_night(target, LAST)
    return target


def _killed(*_: object) -> None:
    raise KeyboardInterrupt


def tables(target: Target) -> Iterator[tuple[str, Published]]:
    for stage in STAGES:
        for uri in stage.tables(target):
            found = published(uri)
            assert found is not None, uri
            yield uri.rsplit("/", 1)[-1], found


def content(spark: SparkSession, table: Published) -> pd.DataFrame:
    rows = read(spark, table).toPandas()
    return rows.sort_values(list(rows.columns[:6]), ignore_index=True, key=lambda column: column.astype(str))


def test_nights_give_what_a_whole_build_gives(spark: SparkSession, built: Target, grown: Target) -> None:
    whole, nights = dict(tables(built)), dict(tables(grown))
    assert whole.keys() == nights.keys()
    for name in whole:
        assert whole[name].through == nights[name].through, name
        assert whole[name].rows == nights[name].rows, name
        pd.testing.assert_frame_equal(content(spark, whole[name]), content(spark, nights[name]), obj=name)
    assert whole["zipped"].rows > 500
    assert whole["late_feedback"].rows > 5
    assert whole["evaluation"].rows > 100


def test_training_has_the_declared_share_of_negatives(spark: SparkSession, built: Target) -> None:
    whole = dict(tables(built))
    training = read(spark, whole["training"]).toPandas().set_index("impression_id")
    cut = pd.Timestamp(built.space.cut("test")).tz_convert("UTC").tz_localize(None)
    zipped = read(spark, whole["zipped"]).toPandas().set_index("impression_id")
    zipped = zipped[zipped["available_time"] < cut]
    positive = (zipped["label_click"] == 1) | (zipped["label_subscribe"] == 1)
    thinned = ~positive & (zipped["domain"] == "feed")
    assert set(zipped.index[~thinned]) <= set(training.index) <= set(zipped.index)
    assert 0.3 < len(set(training.index) & set(zipped.index[thinned])) / thinned.sum() < 0.7
    weights = training["weight"]
    assert (weights == np.where(thinned[training.index], 2.0, 1.0)).all()
    assert current_manifest(built).negatives == {"feed": 0.5}
    assert plan_of(built)["computes"]["negatives kept"] == ["feed 0.5"]


def test_what_arrives_too_late_is_kept_apart_and_changes_no_row(spark: SparkSession, built: Target) -> None:
    whole = dict(tables(built))
    feed = pd.read_csv(Path(built.folder, "feed.csv"))
    # Shown on one (UTC) day, and arrived 36 hours later: on another one, whatever the time of day.
    late = set(feed["id"][3::LATE].astype(str))
    shown = read(spark, whole["impressions"]).where("domain = 'feed'").toPandas()
    assert set(shown["source_key"]) == set(feed["id"].astype(str)) - late - {NOBODYS}
    # The last of them arrive after the build's end.
    arrived = pd.to_datetime(feed["arrived"]).dt.tz_localize(built.space.time_zone) < built.end
    apart = read(spark, whole["late_impressions"]).toPandas()
    assert len(apart) == arrived[3::LATE].sum()
    assert arrived[3::LATE].sum() > 30
    assert not set(apart["impression_id"]) & set(shown["impression_id"])
    missed = read(spark, whole["late_feedback"]).where("objective = 'subscribe'").toPandas()
    assert (missed["arrival_time"] > missed["due_time"]).all()
    labelled = read(spark, whole["zipped"]).select("impression_id", "label_subscribe").toPandas()
    on_time = set(read(spark, whole["outcomes"]).where("arrival_subscribe IS NOT NULL").toPandas()["impression_id"])
    # Another subscription may have come in time; alone, the late one makes no label.
    alone = missed[~missed["impression_id"].isin(on_time)]
    assert len(alone)
    assert (labelled.set_index("impression_id").loc[alone["impression_id"], "label_subscribe"] == 0).all()


def test_a_rollback_and_the_nights_after_it_give_the_same_tables(
    spark: SparkSession, built: Target, grown: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, killed, earlier, _ = (record for record in records(grown) if record.command == "nightly")
    assert [first.state, killed.state, earlier.state] == ["succeeded", "failed", "succeeded"]
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        steps = iter(range(4))

        def restored(uri: str, version: int, run: str) -> None:
            if next(steps, None) is None:
                raise KeyboardInterrupt
            restore(uri, version, run)

        patch.setattr("jobs.restoring.restore", restored)
        roll_back_to(grown, earlier.id)
    # Half-way what is made of other tables never reaches further than they do.
    through = {name: table.through for name, table in tables(grown)}
    assert through["training"] == through["zipped"] < through["impressions"]  # type: ignore[operator]
    # The next run finishes what was begun.
    roll_back_to(grown, earlier.id)
    back = dict(tables(grown))
    assert {table.uri: table.version for table in back.values()} == earlier.published
    # The killed run had published the tables up to unified, the one after it the others.
    assert (back["unified"].run, back["training"].run) == (killed.id, earlier.id)
    assert current_manifest(grown).tables["zipped"].version == back["zipped"].version
    assert not Path(grown.rollback).exists()
    run_night(grown, LAST)
    for name, table in tables(grown):
        pd.testing.assert_frame_equal(content(spark, dict(tables(built))[name]), content(spark, table), obj=name)


@pytest.mark.parametrize("way", ["built", "grown"])
def test_bad_rows_are_kept_apart(spark: SparkSession, way: str, request: pytest.FixtureRequest) -> None:
    target: Target = request.getfixturevalue(way)
    apart = read_delta(spark, target.quarantine).toPandas().sort_values("reason", ignore_index=True)
    once = "is there more than once" if way == "built" else "is published already"
    assert list(apart["reason"]) == sorted(
        ["impression_id is there more than once", f"impression_id {once}", "user_id is null"]
    )
    assert list(apart["table"]) == ["impressions"] * 3
    rows = [json.loads(row) for row in apart["row"]]
    feed = pd.read_csv(Path(target.folder, "feed.csv"))
    assert {row["source_key"] for row in rows} == {NOBODYS, *feed.loc[[101, 103], "id"]}
    assert [row["impression_time"][:10] for row in rows if row["source_key"] == feed.loc[103, "id"]] == ["2024-04-13"]


def test_a_night_that_is_published_changes_nothing(grown: Target, capsys: pytest.CaptureFixture[str]) -> None:
    before = dict(tables(grown))
    for day in (LAST, LAST - timedelta(days=3)):
        run_night(grown, day)
    assert "nothing changed" in capsys.readouterr().err
    assert dict(tables(grown)) == before


def test_a_stage_reaches_no_further_than_what_it_reads(spark: SparkSession, space: Path, tmp_path: Path) -> None:
    target = Target.parse(str(space), str(tmp_path), "all")
    run_night(target, LAST - timedelta(days=9))
    before = published(target.group_table("late_feedback"))
    # Made anew from tables that end with that night, it does not claim to hold what came later.
    run_stages(target, [zip_job.STAGE])
    after = published(target.group_table("late_feedback"))
    assert before is not None
    assert after is not None
    assert after.version > before.version
    assert after.through == before.through


def test_another_space_cannot_add_to_the_tables(grown: Target, space: Path) -> None:
    other = Target.parse(str(space), grown.warehouse, "all", "users=0.5")
    with pytest.raises(LatticeError, match="another sample"):
        run_night(other, LAST)


def test_compaction_keeps_every_row_and_every_pinned_version(spark: SparkSession, grown: Target) -> None:
    before = dict(tables(grown))
    rows = {name: content(spark, before[name]) for name in ("unified", "zipped", "training")}
    manifest = current_manifest(grown)
    compact_tables(grown, keep_days=0)
    after = dict(tables(grown))
    assert after["zipped"].version > before["zipped"].version
    assert len(files(after["zipped"])) < len(files(before["zipped"]))
    for name, expected in rows.items():
        pd.testing.assert_frame_equal(content(spark, after[name]), expected, obj=name)
    # What the manifest of before pins is still there, and the manifest of now pins what is published now.
    for pinned in manifest.tables.values():
        assert all(Path(path).is_file() for path in pinned_files(pinned))
    assert current_manifest(grown).tables["training"].version == after["training"].version
    # Of what nobody pins nothing is left but the published version.
    remembered = {
        Path(path).name
        for path in files(
            replace(after["unified"], uri=grown.group_table("past"), version=after["unified"].pins["past"])
        )
    }
    assert {path.name for path in Path(grown.group_table("past")).glob("*.parquet")} == remembered


def test_status_says_what_is_overdue(grown: Target, space: Path) -> None:
    def status(*arguments: str) -> tuple[int, dict[str, object]]:
        command = ["status", "--space", str(space), "--warehouse", grown.warehouse, "--json", *arguments]
        result = CliRunner().invoke(application("status"), command)
        return result.exit_code, json.loads(result.stdout)

    code, found = status("--expect", str(LAST))
    assert (code, found["overdue"]) == (0, [])
    assert set(found["late"]) == {"late_impressions", "late_feedback"}  # type: ignore[call-overload]
    assert found["quarantined"] == {"impressions": 3}


def test_status_of_an_empty_warehouse_is_overdue(space: Path, tmp_path: Path) -> None:
    command = ["status", "--space", str(space), "--warehouse", str(tmp_path), "--expect", str(LAST)]
    result = CliRunner().invoke(application("status"), command)
    assert result.exit_code == 3
    assert "not published" in result.stdout


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (("2024-04-01", "2024-04-01", None), "neither"),
        ((None, "2024-04-01", None), "Only one"),
        ((None, "2024-04-02", "2024-04-01"), "lies after"),
    ],
)
def test_days_that_contradict_each_other(options: tuple[str | None, ...], problem: str) -> None:
    with pytest.raises(LatticeError, match=problem):
        days(*(pd.Timestamp(day).to_pydatetime() if day else None for day in options))


def test_a_day_that_is_not_over_is_refused(grown: Target) -> None:
    with pytest.raises(LatticeError, match="not over"):
        run_night(grown, date.today() + timedelta(days=1))


def test_the_plan_says_what_is_read_and_what_is_finished(built: Target, space: Path, tmp_path: Path) -> None:
    finished = plan_of(built)
    assert [stage["runs"] for stage in finished["stages"]] == [False] * len(STAGES)
    sizes = {table["table"]: table["bytes"] for stage in finished["stages"] for table in stage["tables"]}
    folder = Path(built.group_table("evaluation"))
    assert sizes["evaluation"] == sum(path.stat().st_size for path in folder.glob("*.parquet"))
    assert {Path(file["file"]).name for file in finished["reads"]} >= {"feed.csv", "plays.parquet"}
    assert "search/subscribe 90m 2d" in finished["computes"]["labels"]
    empty = CliRunner().invoke(application("plan"), ["plan", "--space", str(space), "--warehouse", str(tmp_path)])
    assert empty.exit_code == 0
    assert empty.stdout.count("runs") == len(STAGES)
