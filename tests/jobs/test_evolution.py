"""A space file that changes in mid-year: new rows as a whole build makes them, older ones as they were."""

from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from pyspark.sql import SparkSession

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
    changed = path.with_name("changed.yaml")
    changed.write_text(yaml.safe_dump(space, sort_keys=False), encoding="utf-8")
    return changed


class Grown:
    """Nights under one space file, then under another; and a whole build under each."""

    def __init__(self, folder: Path) -> None:
        first = write_video(folder, seed=7, users=10, shown_a_day=2)
        second = changed_space(first)
        self.before = Target.parse(str(first), str(folder / "before"), "all")
        self.after = Target.parse(str(second), str(folder / "after"), "all")
        run_stages(self.before, STAGES)
        run_stages(self.after, STAGES)
        run_night(Target.parse(str(first), str(folder / "grown"), "all"), CHANGED)
        self.target = Target.parse(str(second), str(folder / "grown"), "all")
        run_night(self.target, CHANGED + timedelta(days=1))
        run_night(self.target, LAST)


@pytest.fixture(scope="module")
def grown(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Grown:
    return Grown(tmp_path_factory.mktemp("video"))


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
