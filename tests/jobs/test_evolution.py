"""A space file that changes in mid-year: new rows as a whole build makes them, older ones as they were."""

import time
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from pyspark.sql import SparkSession

from benchmarks.spark_usage import UsageMeter
from jobs.backfill import backfill_features
from jobs.build import STAGES
from jobs.models import current_manifest
from jobs.nightly import night_of, run_night
from jobs.stages import run_stages
from jobs.target import Target
from pipelines.concatenation import as_declared
from pipelines.tables import published, read, require
from schemas.errors import LatticeError
from tests.spaces.video import write_video

CHANGED, LAST = date(2024, 4, 2), date(2024, 4, 14)


def changed_space(path: Path) -> Path:
    """The space file with features, a domain's column and an objective added, one feature removed, some widened."""
    space = yaml.safe_load(path.read_text(encoding="utf-8"))
    features = space["features"]
    features["categorical"]["weekday"] = {"calendar": "weekday", "id_space": "calendar"}
    del features["categorical"]["country"]
    features["dense"]["doubled"] = {"column": "position", "domains": ["feed"]}
    features["history"]["pair"]["horizons"] = ["6h", "2d", "all"]
    features["history"]["country"] = {"events": "plays", "keys": ["viewer.country"], "recency": False}
    features["sequence"]["plays"]["length"] = 12
    features["sequence"]["short"] = {
        "events": "plays", "length": 3, "ids": {"clip": {"column": "item_id", "id_space": "clip"}},
    }  # fmt: skip
    space["id_spaces"]["clip"] = 1024
    space["objectives"]["share"] = {
        "domains": ["feed", "search"], "match": "impression",
        "observed": {"from": f"{CHANGED + timedelta(days=1)}T00:00:00Z", "to": "2024-04-14T22:00:00Z"},
        "feedback": space["objectives"]["click"]["feedback"],
    }  # fmt: skip
    _open_related(path, space)
    changed = path.with_name("changed.yaml")
    changed.write_text(yaml.safe_dump(space, sort_keys=False), encoding="utf-8")
    return changed


def _open_related(path: Path, space: dict[str, Any]) -> None:
    """A surface that opens after the change: what is shown there is what a search shows."""
    shown = pd.concat([pd.read_parquet(part) for part in sorted((path.parent / "search").iterdir())])
    opened = shown[shown["shown_at"] >= pd.Timestamp(CHANGED + timedelta(days=1), tz="UTC")]
    opened.to_parquet(path.with_name("related.parquet"), index=False, coerce_timestamps="us")
    mapped = {"user_id": "viewer", "item_id": "clip", "impression_time": "shown_at"}
    space["domains"]["related"] = {
        "columns": {"rank": "long"},
        "impressions": {"path": "related.parquet", "format": "parquet", "columns": mapped},
    }
    space["features"]["dense"]["rank"]["domains"].append("related")
    for name in ("click", "subscribe"):
        space["objectives"][name]["domains"].append("related")


class Grown:
    """Nights under one space file, then under another; and a whole build under each."""

    def __init__(self, spark: SparkSession, folder: Path) -> None:
        first = write_video(folder, seed=7, users=10, shown_a_day=2)
        feed = pd.read_csv(folder / "feed.csv")
        feed.assign(bid=feed["position"] * 3).to_csv(folder / "feed.csv", index=False)
        second = changed_space(first)
        self.before = Target.parse(str(first), str(folder / "before"), "all")
        self.after = Target.parse(str(second), str(folder / "after"), "all")
        run_stages(self.before, STAGES)
        with UsageMeter(spark) as meter:
            started = time.time()
            run_stages(self.after, STAGES)
            self.cost_of_building = meter.between(started, time.time())
        run_night(Target.parse(str(first), str(folder / "grown"), "all"), CHANGED)
        self.target = Target.parse(str(second), str(folder / "grown"), "all")
        run_night(self.target, CHANGED + timedelta(days=1))
        run_night(self.target, LAST)


@pytest.fixture(scope="module")
def grown(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Grown:
    return Grown(spark, tmp_path_factory.mktemp("video"))


def rows(spark: SparkSession, target: Target, name: str, declared: Target | None = None) -> pd.DataFrame:
    table = require(target.group_table(name), "build")
    frame = read(spark, table)
    if declared is not None:
        frame = as_declared(frame, declared.space, declared.group)
    found: pd.DataFrame = frame.toPandas()
    return found.sort_values("impression_id", ignore_index=True)[sorted(found.columns)]


def of_time(frame: pd.DataFrame, keep: Callable[[Any, Any], Any], time: str) -> pd.DataFrame:
    moment = pd.Timestamp(CHANGED + timedelta(days=1))
    kept: pd.DataFrame = frame[keep(frame[time], moment)]
    return kept.reset_index(drop=True)


@pytest.mark.parametrize(("name", "time"), [("unified", "impression_time"), ("zipped", "available_time")])
def test_new_rows_are_those_of_a_whole_build(spark: SparkSession, grown: Grown, name: str, time: str) -> None:
    found = of_time(rows(spark, grown.target, name, grown.target), np.greater_equal, time)
    wanted = of_time(rows(spark, grown.after, name), np.greater_equal, time)
    assert len(wanted) > 200
    assert (wanted["domain"] == "related").sum() > 50
    if name == "zipped":
        # Their window closed after the change; those shown before it have the features of then.
        shown = of_time(found, np.greater_equal, "impression_time")["impression_id"]
        found, wanted = (frame[frame["impression_id"].isin(shown)].reset_index(drop=True) for frame in (found, wanted))
    pd.testing.assert_frame_equal(found, wanted)


@pytest.mark.parametrize(("name", "time"), [("unified", "impression_time"), ("zipped", "available_time")])
def test_older_rows_are_as_they_were(spark: SparkSession, grown: Grown, name: str, time: str) -> None:
    found = of_time(rows(spark, grown.target, name, grown.target), np.less, time)
    was = of_time(rows(spark, grown.before, name), np.less, time)
    common = [column for column in was.columns if column in found.columns]
    assert len(was) > 200
    assert "country" not in found.columns
    pd.testing.assert_frame_equal(found[common], was[common])
    assert (found["weekday"] == 0).all()
    assert found.loc[found["domain"] == "feed", ["doubled"]].isna().all(axis=None)
    assert (found.loc[found["domain"] == "search", "doubled"] == 0).all()
    assert found[["pair_count_2d", "country_count_all"]].isna().all(axis=None)
    assert (found["short_clip"].map(len) == 0).all()
    if name == "zipped":
        assert found["label_share"].isna().all()


def test_what_a_model_reads_has_one_layout(spark: SparkSession, grown: Grown) -> None:
    manifest = current_manifest(grown.target)
    assert "share" in [objective.name for objective in manifest.objectives]
    assert {part.length for part in manifest.sequences} == {12, 3}
    for name in ("training", "evaluation"):
        found, wanted = (rows(spark, target, name) for target in (grown.target, grown.after))
        assert list(found.columns) == list(wanted.columns)
        assert list(found["impression_id"]) == list(wanted["impression_id"])
        assert (found["plays_clip"].map(len) == 8 * 12).all()
        assert found["plays_length"].between(0, 12).all()
        assert found["short_length"].between(0, 3).all()
        assert (found["country_count_all"].isna() == (found["impression_time"] < pd.Timestamp("2024-04-03"))).all()
    labels = ["label_click", "label_subscribe", "label_share"]
    found, wanted = (rows(spark, target, "evaluation")[labels] for target in (grown.target, grown.after))
    pd.testing.assert_frame_equal(found, wanted)


def test_an_incompatible_change_stops_before_anything_is_written(grown: Grown, tmp_path: Path) -> None:
    path = grown.target.folder / "clash.yaml"
    text = (grown.target.folder / "changed.yaml").read_text(encoding="utf-8")
    path.write_text(text.replace("position: long", "position: double"), encoding="utf-8")
    clash = Target.parse(str(path), grown.target.warehouse, "all")
    before = {uri: published(uri) for uri in grown.target.tables}
    with pytest.raises(LatticeError) as refused:
        run_night(clash, LAST)
    assert refused.value.place == "domains.feed.columns.position"
    assert "It was long" in refused.value.problem
    assert {uri: published(uri) for uri in grown.target.tables} == before
    assert night_of(clash, LAST) == before[grown.target.group_table("zipped")].through  # type: ignore[union-attr]


def test_features_are_backfilled_as_a_whole_build_makes_them(spark: SparkSession, grown: Grown) -> None:
    target, names = grown.target, ["weekday", "doubled", "pair", "country", "plays", "short"]
    before = {name: rows(spark, target, name, target) for name in ("unified", "zipped")}
    assert backfill_features(target, names)
    for name in ("unified", "zipped", "evaluation", "training"):
        found, wanted = rows(spark, target, name), rows(spark, grown.after, name)
        pd.testing.assert_frame_equal(found, wanted, obj=name)
        table = require(target.group_table(name), "build")
        assert (table.plan, table.evolved) == (target.group_plan, False)
    for name, was in before.items():
        untouched = [column for column in was.columns if column.split("_")[0] not in {*names, "label"}]
        now = rows(spark, target, name)
        assert len(untouched) > 15
        pd.testing.assert_frame_equal(now[untouched], was[untouched], obj=name)
    pinned = current_manifest(target).tables
    assert pinned["unified"].version == require(target.group_table("unified"), "build").version
    assert backfill_features(target, names) == []
    run_night(target, LAST)


def altered(path: Path, **features: Any) -> Path:
    """The first space file with other features of these kinds, and a column that was not read before."""
    space = yaml.safe_load(path.read_text(encoding="utf-8"))
    space["domains"]["feed"]["columns"]["bid"] = "double"
    for kind, declared in features.items():
        space["features"][kind] |= declared
    found = path.with_name("altered.yaml")
    found.write_text(yaml.safe_dump(space, sort_keys=False), encoding="utf-8")
    return found


def test_a_feature_may_change_in_any_way_if_it_is_backfilled(
    spark: SparkSession, grown: Grown, capsys: pytest.CaptureFixture[str]
) -> None:
    first = grown.before.folder / "video.yaml"
    made_of = {"length": {"column": "bid", "domains": ["feed"]}}
    target = Target.parse(str(altered(first, dense=made_of)), grown.before.warehouse, "all")
    with pytest.raises(LatticeError, match="no such feature"):
        backfill_features(target, ["lenght"])
    published_before = {uri: published(uri) for uri in target.tables}
    with pytest.raises(LatticeError) as refused:
        backfill_features(target, ["hour"])
    assert refused.value.place == "features.dense.length.column"
    assert {uri: published(uri) for uri in target.tables} == published_before
    before = rows(spark, target, "unified")
    assert backfill_features(target, ["length"])
    found = rows(spark, target, "unified")
    feed = pd.read_csv(first.with_name("feed.csv")).set_index("id")["bid"]
    shown = read(spark, require(target.space_table("impressions"), "build")).toPandas()
    keys = shown.set_index("impression_id")["source_key"][found["impression_id"]]
    wanted = keys.map(feed).fillna(0.0).to_numpy()
    assert (found["length"].to_numpy() == wanted).all() and wanted.max() > 3
    pd.testing.assert_frame_equal(found.drop(columns="length"), before.drop(columns="length"))
    # A night goes on from every table, the raw ones too.
    run_night(target, LAST)
    with UsageMeter(spark) as meter:
        started = time.time()
        assert backfill_features(target, ["hour"])
        cost = meter.between(started, time.time())
    pd.testing.assert_frame_equal(rows(spark, target, "unified"), found)
    whole = grown.cost_of_building
    shuffled = f"{cost.shuffled / 1e6:.2f} of {whole.shuffled / 1e6:.2f} MB shuffled"
    with capsys.disabled():
        print(f"\nbackfill: {cost.cpu:.1f} s of a whole build's {whole.cpu:.1f} s of CPU, {shuffled}")  # noqa: T201
    assert cost.cpu < whole.cpu
    assert cost.shuffled < whole.shuffled
