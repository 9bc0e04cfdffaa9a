"""A user is taken out of every table, stays out, and in the end no file tells of them; nobody else is touched."""

import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
import yaml
from deltalake import DeltaTable, write_deltalake
from pyspark.sql import SparkSession
from typer.testing import CliRunner

from jobs import forgetting
from jobs.cli import application
from jobs.compact import compact_tables
from jobs.evaluate import evaluate_model
from jobs.forget import asked, forget_users
from jobs.model_config import ModelConfig
from jobs.models import PREDICTIONS, check_repeatable, current_manifest, is_repeatable
from jobs.nightly import run_night
from jobs.rollback import roll_back_to
from jobs.runs import records
from jobs.suppression import listed
from jobs.target import Target
from jobs.train import train_model
from lattice_model.training.log import TrainingLog
from lattice_model.training.trainer import LOG
from pipelines.privacy import possible_ids
from pipelines.tables import columns_of, publish_without, published, read, read_delta
from schemas.errors import LatticeError
from schemas.forgetting import ForgettingRecord, Removal
from schemas.manifest import TrainingManifest
from tests.spaces.video import write_video

GONE = "viewer.three@example.org"
STAYS = "v3@example.org"
FIRST, SECOND = date(2024, 4, 9), date(2024, 4, 10)
KEY = "k" * 40


@pytest.fixture(scope="module", autouse=True)
def key() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LATTICE_PRIVACY_KEY", KEY)
        yield


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sides, on each of which a viewer has another id; one viewer has a name that is found wherever it is."""
    path = write_video(tmp_path_factory.mktemp("video"), seed=11, users=6, shown_a_day=2)
    folder, names = path.parent, {"v3": GONE, "v4": STAYS}
    for name, column in (("feed", "viewer"), ("subscriptions", "viewer"), ("viewers", "id")):
        rows = pd.read_csv(folder / f"{name}.csv")
        rows[column] = rows[column].replace(names)
        rows.to_csv(folder / f"{name}.csv", index=False)
    # A row that goes to quarantine: the impression is there already.
    feed = pd.read_csv(folder / "feed.csv")
    again = feed[feed["viewer"] == GONE].head(1)
    pd.concat([feed, again]).to_csv(folder / "feed.csv", index=False)
    for file in (*sorted((folder / "search").iterdir()), folder / "plays.parquet"):
        rows = pd.read_parquet(file)
        rows["viewer"] = rows["viewer"].replace(names)
        rows.to_parquet(file, index=False, coerce_timestamps="us")
    clicks = DeltaTable(str(folder / "clicks")).to_pandas()
    clicks["viewer"] = clicks["viewer"].replace(names)
    write_deltalake(str(folder / "clicks"), clicks, mode="overwrite")
    declared = yaml.safe_load(path.read_text(encoding="utf-8"))
    declared["privacy"] = [{"between": ["feed", "search"], "forbid": ["users"]}]
    declared["objectives"]["subscribe"] |= {"domains": ["feed"], "origin": ["feed"]}
    declared["events"]["plays"]["origin"] = ["feed"]
    declared["attributes"]["viewer"]["origin"] = ["feed"]
    declared["attributes"]["clip"]["origin"] = []
    declared["quality"] = {"quarantine": 0.05}
    path.write_text(yaml.safe_dump(declared, sort_keys=False), encoding="utf-8")
    return path


def rows_of(spark: SparkSession, target: Target) -> dict[str, pd.DataFrame]:
    """The rows of every table, by place; of `past` none, since who it is of has no name."""
    found = {}
    for uri in forgetting.space_tables(target):
        if uri != target.forgotten and "_owner" not in columns_of(uri):
            table = published(uri)
            frame = (read_delta(spark, uri) if table is None else read(spark, table)).toPandas()
            order = frame.iloc[:, :6].map(str).sort_values(list(frame.columns[:6])).index
            found[uri.removeprefix(target.space_folder + "/")] = frame.loc[order].reset_index(drop=True)
    return found


class Story:
    """A night and a model; then a request that is killed half-way, and given again."""

    def __init__(self, spark: SparkSession, space: Path, warehouse: Path) -> None:
        self.target = target = Target.parse(str(space), str(warehouse), "all")
        run_night(target, FIRST)
        settings = warehouse.parent / "settings.yaml"
        settings.write_text("training: {batch_size: 64, epochs: 1}\n")
        self.model = train_model(target, "test", ModelConfig.read(settings, "dcnv2"))
        evaluate_model(self.model, target.space)
        self.manifest = current_manifest(target)
        self.names = set(possible_ids(target.space, "all", GONE))
        shown = read(spark, published(target.space_table("impressions"))).toPandas()  # type: ignore[arg-type]
        self.impressions = set(shown.loc[shown["user_id"] == GONE, "impression_id"])
        self.before = rows_of(spark, target)
        with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
            steps = iter(range(6))

            def killed(uri: str, removal: Removal, run: str) -> None:
                if next(steps, None) is None:
                    raise KeyboardInterrupt
                publish_without(uri, removal, run)

            patch.setattr("jobs.forgetting.publish_without", killed)
            forget_users(target, [GONE, "nobody"])
        self.half = rows_of(spark, target)
        self.again = forget_users(target, [GONE, "nobody"])
        self.after = rows_of(spark, target)
        self.record = forgetting.records(target)[0]


@pytest.fixture(scope="module")
def story(spark: SparkSession, space: Path, tmp_path_factory: pytest.TempPathFactory) -> Story:
    return Story(spark, space, tmp_path_factory.mktemp("story") / "warehouse")


def theirs(story: Story, rows: pd.DataFrame) -> "pd.Series[bool]":
    if "user_id" in rows.columns:
        return rows["user_id"].isin(story.names)
    if "impression_id" in rows.columns:
        return rows["impression_id"].isin(story.impressions)
    return pd.Series(False, index=rows.index)


def test_the_user_is_in_no_table_and_all_others_are_as_they_were(story: Story) -> None:
    assert story.before.keys() == story.after.keys()
    lost = {}
    for place, rows in story.before.items():
        held = theirs(story, rows)
        lost[place] = int(held.sum())
        kept = rows[~held].reset_index(drop=True)
        pd.testing.assert_frame_equal(kept, story.after[place], obj=place)
    wanted = {"impressions", "feedback", "events_plays", "attributes_viewer", "quarantine"}
    wanted |= {f"all/{name}" for name in ("unified", "outcomes", "zipped", "evaluation", "training")}
    assert {place for place, count in lost.items() if count} == wanted
    # On each side the user had another name, and rows.
    assert len(set(story.before["all/unified"]["user_id"]) & story.names) == 2
    assert {table.table: table.rows for table in story.record.tables} == {place: lost[place] for place in wanted}


def test_a_killed_request_is_never_half_visible_in_a_table(story: Story) -> None:
    states = {}
    for place, rows in story.half.items():
        held = int(theirs(story, rows).sum())
        assert held in (0, int(theirs(story, story.before[place]).sum())), place
        states[place] = held
    assert states["impressions"] == 0 < states["all/training"]


def test_the_record_says_what_was_done_and_names_nobody(story: Story) -> None:
    record, text = story.record, Path(story.target.forgetting_records, f"{story.record.id}.json").read_text()
    assert (record.users, record.unknown) == (2, 1)
    assert [(model.group, model.model) for model in record.models] == [("all", story.model.name)]
    assert record.models_untold == ()
    assert record.erased is None
    assert not any(name in text for name in story.names)
    assert not Path(story.target.forgetting_request).exists()


def test_the_same_request_again_changes_nothing_and_says_so(
    story: Story, capsys: pytest.CaptureFixture[str], space: Path
) -> None:
    # The run after the kill finished what was begun, and then found nothing to be done.
    assert story.again is None
    before = {uri: published(uri) for uri in forgetting.space_tables(story.target)}
    command = ["forget", "--user", GONE, "--space", str(space), "--warehouse", story.target.warehouse]
    ran = CliRunner().invoke(application("forget"), command, catch_exceptions=False)
    assert ran.exit_code == 0
    assert "nothing was changed" in capsys.readouterr().err + ran.output
    assert {uri: published(uri) for uri in forgetting.space_tables(story.target)} == before
    assert len(forgetting.records(story.target)) == 1
    assert [run.command for run in records(story.target)][-3:] == ["forget"] * 3


def test_what_the_model_was_made_of_cannot_be_repeated(story: Story, space: Path) -> None:
    target = story.target
    marked = [TrainingManifest.read(Path(target.space_folder, name)) for name in story.record.manifests]
    assert marked and all(manifest.forgotten == (story.record.id,) for manifest in marked)
    training = TrainingLog.read(story.model / LOG).tables["training"]
    assert not is_repeatable(training)
    with pytest.raises(LatticeError, match=r"forgotten since .* cannot be repeated"):
        check_repeatable(training)
    now = current_manifest(target)
    assert now.forgotten == () and now.fingerprint != story.manifest.fingerprint
    assert all(is_repeatable(table) for table in now.tables.values())
    assert now.tables["training"].rows == len(story.after["all/training"])
    assert {name: now.tables[name].rows for name in ("unified", "evaluation")} == {
        name: len(story.after[f"all/{name}"]) for name in ("unified", "evaluation")
    }
    command = ["models", "--space", str(space), "--warehouse", target.warehouse, "--json"]
    ran = CliRunner().invoke(application("models"), command, catch_exceptions=False)
    assert [row["repeatable"] for row in json.loads(ran.stdout)["models"]] == [False]
    predicted = pd.read_parquet(story.model / PREDICTIONS)
    assert len(predicted) and not predicted["user_id"].isin(story.names).any()


def test_no_rollback_brings_the_user_back(story: Story) -> None:
    earlier = next(run for run in records(story.target) if run.command == "nightly" and run.state == "succeeded")
    with pytest.raises(LatticeError, match="users were taken out"):
        roll_back_to(story.target, earlier.id)


def test_without_the_key_or_under_another_no_night_goes_on(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LATTICE_PRIVACY_KEY", "another key" * 4)
    with pytest.raises(LatticeError, match="LATTICE_PRIVACY_KEY"):
        forget_users(story.target, [STAYS])
    monkeypatch.delenv("LATTICE_PRIVACY_KEY")
    with pytest.raises(LatticeError, match="It is not set"):
        forget_users(story.target, [STAYS])


@pytest.fixture(scope="module")
def erased(spark: SparkSession, story: Story) -> dict[str, pd.DataFrame]:
    """Before the retention the files are there, after it they are not."""
    target = story.target
    compact_tables(target, keep_days=7)
    assert {"impressions", "training"} <= {path.parent.name for path in telling(Path(target.warehouse), story.names)}
    assert forgetting.records(target)[0].erased is None
    compact_tables(target, keep_days=0)
    return rows_of(spark, target)


def test_after_the_retention_no_file_tells_of_the_user(story: Story, erased: dict[str, pd.DataFrame]) -> None:
    target = story.target
    assert not list(telling(Path(target.warehouse), story.names))
    assert forgetting.records(target)[0].erased is not None
    for place, rows in erased.items():
        pd.testing.assert_frame_equal(rows, story.after[place], obj=place)
    with pytest.raises(LatticeError, match="cannot be repeated"):
        check_repeatable(story.manifest.tables["training"])
    assert all(is_repeatable(table) for table in current_manifest(target).tables.values())


def test_the_night_after_does_not_bring_the_user_back(
    spark: SparkSession, story: Story, erased: dict[str, pd.DataFrame], space: Path, tmp_path: Path
) -> None:
    run_night(story.target, SECOND)
    night = rows_of(spark, story.target)
    for place, rows in night.items():
        assert not theirs(story, rows).any(), place
    assert len(night["all/unified"]) > len(erased["all/unified"])
    # Nor does a build from scratch, by which a night's rows are the same: their features count nothing of the user.
    scratch = Target.parse(str(space), str(tmp_path), "all")
    record = forget_users(scratch, [GONE])
    assert isinstance(record, ForgettingRecord)
    assert (record.users, record.unknown, record.tables, record.manifests) == (1, 1, (), ())
    assert listed(spark, scratch, [GONE, STAYS]) == [GONE]
    run_night(scratch, SECOND)
    built = rows_of(spark, scratch)
    for place, rows in built.items():
        assert not theirs(story, rows).any(), place
    ours, wanted = (
        rows[rows["impression_time"] >= pd.Timestamp(SECOND)].reset_index(drop=True)
        for rows in (night["all/unified"], built["all/unified"])
    )
    assert len(ours) > 10
    pd.testing.assert_frame_equal(ours, wanted)
    # Another user, at once: the model was trained on them too, which cannot be told any more.
    again = forget_users(story.target, [STAYS], at_once=True)
    assert again is not None and again.rows > 100
    assert [model.model for model in again.models_untold] == [story.model.name]
    names = {GONE, *possible_ids(story.target.space, "all", STAYS)}
    assert not list(telling(Path(story.target.warehouse), names))


def telling(folder: Path, names: set[str]) -> Iterator[Path]:
    """The files in which one of the names is found, compressed or not."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            raw = path.read_bytes()
            text = str(pq.read_table(path).to_pylist()) if path.suffix == ".parquet" else ""
            if any(name in text or name.encode() in raw for name in names):
                yield path


def test_who_is_asked_for(tmp_path: Path) -> None:
    file = tmp_path / "users.txt"
    file.write_text("a\n\n b \na\n")
    assert asked(["c", "a"], file) == ["c", "a", "b"]
    with pytest.raises(LatticeError, match="name nobody"):
        asked([], None)
    with pytest.raises(LatticeError, match="No such file"):
        asked([], tmp_path / "nothing")
