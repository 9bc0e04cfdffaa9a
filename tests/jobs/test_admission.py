"""Bad rows of the raw tables: kept apart up to a limit, and the rest is what it would be without them."""

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from pyspark.sql import SparkSession

from jobs import ingest
from jobs.stages import run_stages
from jobs.target import Target
from pipelines.tables import published, read, read_delta, value_counts
from schemas.errors import LatticeError
from tests.spaces.video import write_video


def write(folder: Path, limit: float) -> Path:
    folder.mkdir()
    path = write_video(folder, seed=3, users=12, shown_a_day=2)
    path.write_text(f"{path.read_text(encoding='utf-8')}\nquality: {{quarantine: {limit}}}\n", encoding="utf-8")
    return path


def change(folder: Path, name: str, bad: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    """Add bad rows, made of good ones, to a table."""
    path = folder / name
    rows = pd.read_csv(path) if path.suffix == ".csv" else pd.read_parquet(path)
    changed = pd.concat([rows, bad(rows)])
    if path.suffix == ".csv":
        changed.to_csv(path, index=False)
    else:
        changed.to_parquet(path, index=False, coerce_timestamps="us")


RULES = """
quality:
  quarantine: 0.05
  columns:
    domains.feed.position: {min: 0, max: 500}
    domains.feed.device: {nulls: 0.5}
    events.plays.seconds: {max: 1000000}
  lacking: {clip: 0}
"""


def spoil(folder: Path) -> None:
    change(folder, "feed.csv", lambda rows: rows.iloc[:2])
    change(folder, "feed.csv", lambda rows: rows.iloc[5:6].assign(id="feed-far", position=501))
    change(folder, "plays.parquet", lambda rows: rows.iloc[9:10].assign(seconds=1e6 + 1))
    change(folder, "subscriptions.csv", lambda rows: rows.iloc[:3].assign(viewer=float("nan")))
    change(folder, "plays.parquet", lambda rows: rows.iloc[:1].assign(clip=float("nan")))
    change(folder, "clips.csv", lambda rows: rows.iloc[:1])


def build(space: Path, warehouse: Path) -> Target:
    target = Target.parse(str(space), str(warehouse), "all")
    run_stages(target, [ingest.STAGE])
    return target


def content(spark: SparkSession, target: Target) -> dict[str, pd.DataFrame]:
    found = {}
    for uri in ingest.STAGE.tables(target):
        table = published(uri)
        assert table is not None
        rows = read(spark, table).toPandas()
        found[uri.rsplit("/", 1)[-1]] = rows.sort_values(list(rows.columns), ignore_index=True)
    return found


APART = {("attributes_clip",): 1, ("events_plays",): 2, ("feedback",): 3, ("impressions",): 3}


def test_the_rows_that_are_kept_are_those_of_a_build_without_the_bad_ones(spark: SparkSession, tmp_path: Path) -> None:
    clean, spoilt = write(tmp_path / "clean", 0.0), write(tmp_path / "spoilt", 0.05)
    spoil(spoilt.parent)
    spoilt.write_text(spoilt.read_text(encoding="utf-8").partition("\nquality:")[0] + RULES, encoding="utf-8")
    wanted = content(spark, build(clean, tmp_path / "one"))
    target = build(spoilt, tmp_path / "two")
    found = content(spark, target)
    for name, rows in wanted.items():
        pd.testing.assert_frame_equal(found[name], rows, obj=name)
    assert value_counts(target.quarantine, "table") == APART
    subscription = read_delta(spark, target.quarantine).where("table = 'feedback'").toPandas()
    assert set(subscription["reason"]) == {"user_id is null"}
    assert json.loads(subscription["row"][0])["objective"] == "subscribe"


def test_a_run_that_was_killed_leaves_nothing_twice(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = write(tmp_path / "spoilt", 0.05)
    spoil(space.parent)
    space.write_text(space.read_text(encoding="utf-8").partition("\nquality:")[0] + RULES, encoding="utf-8")

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("pipelines.tables.publishing.name_version", killed)
        build(space, tmp_path / "warehouse")
    target = build(space, tmp_path / "warehouse")
    assert value_counts(target.quarantine, "table") == APART
    # Mended, nothing of it is left.
    for name in ("feed", "subscriptions", "clips"):
        rows = pd.read_csv(space.parent / f"{name}.csv").drop_duplicates().dropna()
        rows = rows[rows["id"] != "feed-far"] if name == "feed" else rows
        rows.to_csv(space.parent / f"{name}.csv", index=False)
    build(space, tmp_path / "warehouse")
    assert value_counts(target.quarantine, "table") == {("events_plays",): 2}


def test_too_many_bad_rows_are_refused_and_none_kept_apart(spark: SparkSession, tmp_path: Path) -> None:
    space = write(tmp_path / "spoilt", 0.001)
    change(space.parent, "feed.csv", lambda rows: rows.iloc[:2])
    with pytest.raises(LatticeError) as refused:
        build(space, tmp_path / "warehouse")
    message = str(refused.value)
    assert "2 of 1,346 new rows would have to go to quarantine" in message
    assert "a share of 0.001" in message
    assert "impression_id is there more than once in 4 of 1,346 rows" in message
    target = Target.parse(str(space), str(tmp_path / "warehouse"), "all")
    assert published(target.space_table("impressions")) is None
    assert value_counts(target.quarantine, "table") == {}


@pytest.mark.parametrize(
    ("rules", "says"),
    [
        ("columns: {domains.feed.device: {nulls: 0.1}}", r"(?s)table 'impressions'.*device"),
        ("lacking: {clip: 0.01}", r"(?s)item_id is not in attributes_clip in \d+ of 1,34\d rows"),
    ],
)
def test_what_a_space_file_expects_of_whole_batches_stops_a_build(
    spark: SparkSession, tmp_path: Path, rules: str, says: str
) -> None:
    space = write(tmp_path / "spoilt", 0.5)
    space.write_text(space.read_text(encoding="utf-8").replace("{quarantine: 0.5}", f"{{{rules}}}"), encoding="utf-8")
    feed, clips = pd.read_csv(space.parent / "feed.csv"), pd.read_csv(space.parent / "clips.csv")
    feed.assign(device=feed["device"].where(feed.index % 4 > 0)).to_csv(space.parent / "feed.csv", index=False)
    clips.iloc[:-20].to_csv(space.parent / "clips.csv", index=False)
    with pytest.raises(LatticeError, match=says):
        build(space, tmp_path / "warehouse")
    target = Target.parse(str(space), str(tmp_path / "warehouse"), "all")
    assert published(target.space_table("impressions")) is None
