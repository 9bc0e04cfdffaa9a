"""From importances to a selection, and a build, a training and nights that follow it, on the small video space."""

import json
import shutil
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from pyspark.sql import SparkSession
from typer.testing import CliRunner

from jobs import options
from jobs.backfill import backfill_features
from jobs.build import STAGES
from jobs.cli import application
from jobs.evaluate import evaluate_model
from jobs.forget import forget_users
from jobs.model_config import ModelConfig
from jobs.models import current_manifest, live_manifests
from jobs.nightly import run_night
from jobs.plan import plan_of
from jobs.selection import select
from jobs.stages import run_stages
from jobs.target import Target
from jobs.train import train_model
from lattice_model.training.checkpoint import read_manifest
from lattice_model.training.trainer import CHECKPOINT
from pipelines.concatenation import KEYS
from pipelines.sampling import pooled
from pipelines.selections import find_selection
from pipelines.tables import publish, read, require
from schemas.errors import LatticeError
from schemas.narrowing import candidates
from tests.pipelines.importance_rows import importance_rows
from tests.spaces.video import write_video

LAST = date(2024, 4, 14)
CHOSEN = ("genre", "device", "taste_share", "pair_seconds_all", "length", "plays")
PARTS = ("taste_count_all", "viewer_count_all")
"""What taste_share divides."""
TASKS = [f"{domain}/{objective}" for domain in ("feed", "search") for objective in ("click", "subscribe")]


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = write_video(tmp_path_factory.mktemp("video"), seed=5, users=12, shown_a_day=2)
    declared = path.read_text(encoding="utf-8")
    another = "  searching:\n    portfolios: [search/click]\n"
    sampled = declared.replace("    windows: [90m, 2d]\n\n", f"    windows: [90m, 2d]\n    pool: 0.3\n{another}\n")
    assert sampled != declared
    path.write_text(sampled, encoding="utf-8")
    return path


def _lattice(target: Target, *arguments: str) -> dict[str, Any]:
    """``lattice select --json``."""
    command = ["select", "--space", str(target.folder / "video.yaml"), "--warehouse", target.warehouse, "--json"]
    result = CliRunner().invoke(application("select"), [*command, *arguments], catch_exceptions=False)
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def _parse(target: Target) -> Target:
    """The same, with the selection of now."""
    return Target.parse(str(target.folder / "video.yaml"), target.warehouse, "all")


def _publish_importance(spark: SparkSession, target: Target) -> None:
    """The chosen ones are worth something to every portfolio, each a little more than the next; nothing else is."""
    measured = {
        candidate.name: {
            task: ((1 - 0.1 * CHOSEN.index(candidate.name)) if candidate.name in CHOSEN else 0.0, 0.001)
            for task in TASKS
            if task.split("/")[0] in candidate.domains
        }
        for candidate in candidates(target.space)
    }
    rows = spark.createDataFrame(pd.DataFrame(importance_rows(measured, target.space)))
    publish(rows, target.group_table("importance"), fingerprint="made", check=lambda *_: None)


@pytest.fixture(scope="module")
def whole(space: Path, spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Target:
    """A build with every feature, a model of it, and importances."""
    target = Target.parse(str(space), str(tmp_path_factory.mktemp("warehouse")), "all")
    run_stages(target, STAGES)
    train_model(target, "validation", ModelConfig.read(None, "dlrm"))
    _publish_importance(spark, target)
    return target


@pytest.fixture(scope="module")
def before(spark: SparkSession, whole: Target) -> dict[str, pd.DataFrame]:
    return {name: _content(spark, whole, name) for name in ("unified", "evaluation", "training")}


def _content(spark: SparkSession, target: Target, name: str) -> pd.DataFrame:
    rows = read(spark, require(target.group_table(name), "lattice build")).toPandas()
    return rows.sort_values("impression_id", ignore_index=True)


@pytest.fixture(scope="module")
def selected(whole: Target, before: dict[str, pd.DataFrame]) -> dict[str, Any]:
    """The first selection pins what the live model reads; the second one does not."""
    return {"first": _lattice(whole, "--target", "6"), "second": _lattice(whole, "--target", "6", "--unpin")}


@pytest.fixture(scope="module")
def built(whole: Target, selected: dict[str, Any]) -> Target:
    target = _parse(whole)
    run_stages(target, STAGES)
    return target


def test_what_matters_is_chosen_and_the_live_models_features_are_pinned(
    whole: Target, selected: dict[str, Any]
) -> None:
    first, second = selected["first"], selected["second"]
    assert first["chosen"] == second["chosen"] == [*CHOSEN[:1], *first["chosen"][1:]]
    assert set(first["chosen"]) == set(CHOSEN)
    assert (first["selection"], second["selection"]) == (1, 2)
    every = {candidate.name for candidate in candidates(whole.space)}
    assert set(first["pinned"]) == every - set(CHOSEN)
    assert second["pinned"] == []
    assert sum(first["frontiers"]) == 6
    assert first["on_no_frontier"] == len(every) - 6


def test_what_is_pinned_is_computed_and_not_trained_with(whole: Target, selected: dict[str, Any]) -> None:
    every = {candidate.name for candidate in candidates(whole.space)}
    for version, computed in ((1, every), (2, {*CHOSEN, *PARTS})):
        target = _parse(whole)
        # As if this version were the effective one.
        vars(target)["selection"] = find_selection(whole.group_table("selection"), version)
        assert {candidate.name for candidate in candidates(target.computed)} == computed
        assert {candidate.name for candidate in candidates(target.trained)} == set(CHOSEN)


def test_a_night_under_another_selection_is_refused(whole: Target, selected: dict[str, Any]) -> None:
    with pytest.raises(
        LatticeError, match=r"(?s)another selection of features .effective now: selection 2.*lattice build"
    ):
        run_night(_parse(whole), LAST)


def test_the_next_build_has_the_chosen_features_and_the_same_rows(
    spark: SparkSession, built: Target, before: dict[str, pd.DataFrame]
) -> None:
    packed = ("plays_clip", "plays_genre", "plays_seconds", "plays_age")
    scalars = [name for name in CHOSEN if name != "plays"]
    unified = _content(spark, built, "unified")
    assert set(unified.columns) == {*KEYS, "window", *scalars, *PARTS, *packed}
    pd.testing.assert_frame_equal(unified, before["unified"][list(unified.columns)])
    for name in ("training", "evaluation"):
        rows = _content(spark, built, name)
        features = set(rows.columns) & {*before["unified"].columns, "plays_length"} - {*KEYS, "window"}
        assert features == {*scalars, *packed, "plays_length"}
        pd.testing.assert_frame_equal(rows, before[name][list(rows.columns)])
        assert len(rows) > 100


def test_a_share_of_users_keeps_every_feature(
    spark: SparkSession, built: Target, before: dict[str, pd.DataFrame]
) -> None:
    pool = _content(spark, built, "pool")
    users = pooled(spark.createDataFrame(before["unified"][["user_id"]].drop_duplicates()), 0.3).toPandas()["user_id"]
    assert 0 < len(users) < 12
    expected = before["unified"][before["unified"]["user_id"].isin(users)].reset_index(drop=True)
    pd.testing.assert_frame_equal(pool[list(expected.columns)], expected)


def test_a_model_pins_the_selection_and_reads_its_features_alone(built: Target) -> None:
    manifest = current_manifest(built)
    assert manifest.selection == 2
    assert set(manifest.features()) == set(CHOSEN)
    assert set(manifest.normalisers["test"]) == {"taste_share", "pair_seconds_all", "length"}
    folder = train_model(built, "test", ModelConfig.read(None, "dlrm"))
    assert read_manifest(folder / CHECKPOINT) == manifest
    assert evaluate_model(folder, built.space).rows > 100
    assert plan_of(built)["computes"]["selection"] == 2


def test_the_same_features_again_rebuild_nothing(built: Target, capsys: pytest.CaptureFixture[str]) -> None:
    assert _lattice(built, "--target", "6", "--unpin", "--seed", "9")["selection"] == 3
    target = _parse(built)
    assert target.selection is not None
    assert target.selection.version == 3
    assert run_stages(target, STAGES) == []


def test_a_selection_of_a_later_day_waits_for_it(built: Target) -> None:
    now = _parse(built).selection
    later = _lattice(built, "--target", "2", "--unpin", "--from", "2999-01-01")
    found = _parse(built).selection
    assert now is not None
    assert found is not None
    assert now.version == found.version < later["selection"]
    changed = _lattice(built, "--diff", str(found.version), str(later["selection"]))
    assert later["chosen"][0] == CHOSEN[0]
    assert (set(changed["removed"]), changed["added"]) == (set(CHOSEN) - set(later["chosen"]), [])
    assert changed["kept"] == 2


def test_an_earlier_selection_comes_again_with_what_live_models_read_now(built: Target) -> None:
    effective = _parse(built).selection
    assert effective is not None
    made = _lattice(built, "--again", "1", "--from", "2999-01-02")
    again = find_selection(built.group_table("selection"), made["selection"])
    assert again.chosen == find_selection(built.group_table("selection"), 1).chosen
    live = {name for manifest in live_manifests(built).values() for name in manifest.features()}
    assert set(again.pinned) == live - set(again.chosen)
    assert _parse(built).selection == effective


def test_limits_groups_and_weights_are_noted(built: Target) -> None:
    wishes = ["--fill", "importance", "--weight", "feed/click=2", "--together", "genre, device"]
    limits = ["--limit", "coverage=0.0001"]
    made = _lattice(built, "--target", "3", "--unpin", "--from", "2999-01-02", *wishes, *limits)
    found = find_selection(built.group_table("selection"), made["selection"])
    assert list(found.chosen) == made["chosen"] == ["genre", "device", "taste_share"]
    assert found.options == (
        "--fill importance", "--weight feed/click=2", "--limit coverage=0.0001", "--together genre,device"
    )  # fmt: skip
    assert find_selection(built.group_table("selection"), 1).options == ()


def test_people_read_the_sizes_a_warning_and_where_the_report_is(
    built: Target, capsys: pytest.CaptureFixture[str]
) -> None:
    later = datetime(2999, 1, 3, tzinfo=UTC)
    select(space=str(built.folder / "video.yaml"), warehouse=built.warehouse, count=8, unpin=True, start=later)
    said = capsys.readouterr()
    assert "6 features were chosen, the target is 8" in said.err
    assert "6 of 25 features; target 8" in said.out
    assert "sizes of frontiers" in said.out
    page = Path(said.out.split("Report: ")[1].strip())
    assert "A made-up video service" in page.read_text(encoding="utf-8")
    assert pd.read_csv(page.with_suffix(".csv"))["chosen"].sum() == 6


def test_a_feature_that_the_space_lost_is_named(built: Target) -> None:
    from schemas.narrowing import narrowed

    space = narrowed(built.space, set(CHOSEN) - {"device"})
    lost = Target(space, built.folder, "all", built.warehouse, None)
    with pytest.raises(LatticeError, match=r"It uses 'device' .1 such features., which the space does not have"):
        lost.fingerprints["unify"]


@pytest.fixture(scope="module")
def nights(built: Target, tmp_path_factory: pytest.TempPathFactory) -> Target:
    warehouse = tmp_path_factory.mktemp("nights")
    group = Path(built.group_table("")).relative_to(built.warehouse)
    shutil.copytree(built.group_table("selection"), warehouse / group / "selection")
    target = Target.parse(str(built.folder / "video.yaml"), str(warehouse), "all")
    for day in (LAST - timedelta(days=9), LAST):
        run_night(target, day)
    return target


def test_nights_under_a_selection_give_what_a_build_gives(spark: SparkSession, built: Target, nights: Target) -> None:
    for name in ("unified", "pool", "training"):
        pd.testing.assert_frame_equal(_content(spark, nights, name), _content(spark, built, name), obj=name)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({}, "--target"),
        ({"count": 0}, "No feature was chosen"),
        ({"count": 6, "z": 1e6}, "No feature was chosen"),
        ({"count": 99}, "99 features are to be chosen"),
        ({"count": 6, "must": ["weather"]}, "no feature 'weather'"),
        ({"count": 6, "criterion": ["cost.compute"]}, "No feature of the space declares this cost"),
        ({"count": 6, "run": "another"}, "Known: run"),
        ({"count": 6, "limit": ["cost.compute"]}, "no number of 0 or more"),
        ({"count": 6, "limit": ["cost.compute=1d"]}, "no number of 0 or more"),
        ({"count": 6, "limit": ["freshness=2"]}, "A duration is a positive whole number"),
        ({"count": 6, "limit": ["rain=1"]}, "There is no criterion 'rain'"),
        ({"count": 6, "weight": ["feed/click=2"]}, "--fill importance"),
        ({"count": 6, "together": ["genre,rain"]}, "no feature 'rain'"),
        ({"diff": (1, 77)}, "selection 77"),
        ({"again": 77}, "selection 77"),
    ],
)
def test_options_that_make_no_sense(
    whole: Target, selected: dict[str, Any], capsys: pytest.CaptureFixture[str], arguments: dict[str, Any], says: str
) -> None:
    given = {"space": str(whole.folder / "video.yaml"), "warehouse": whole.warehouse, "count": None, **arguments}
    before = require(whole.group_table("selection"), "lattice select").version
    with pytest.raises(SystemExit) as stopped:
        options.guarded(lambda: select(**given))
    assert stopped.value.code == 2
    assert says in capsys.readouterr().err
    assert require(whole.group_table("selection"), "lattice select").version == before


def test_without_importances_the_command_that_makes_them_is_named(space: Path, tmp_path: Path) -> None:
    with pytest.raises(LatticeError, match="Run `lattice importance` first"):
        select(space=str(space), warehouse=str(tmp_path), count=3)


def test_a_selection_says_when_it_was_made(built: Target) -> None:
    found = _parse(built).selection
    assert found is not None
    assert timedelta(0) <= datetime.now(UTC) - found.made_at < timedelta(hours=2)
    assert (found.run_id, found.model, found.data_version, found.target, found.z) == ("run", "a_model", 3, 6, 2.0)


def _killed(*_: object) -> None:
    raise KeyboardInterrupt


def test_a_backfill_under_a_selection_goes_on_where_it_was_killed(
    spark: SparkSession, built: Target, nights: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = yaml.safe_load((built.folder / "video.yaml").read_text(encoding="utf-8"))
    space["features"]["sequence"]["plays"]["length"] = 3
    changed = built.folder / "changed.yaml"
    changed.write_text(yaml.safe_dump(space, sort_keys=False), encoding="utf-8")
    grown, whole = (Target.parse(str(changed), target.warehouse, "all") for target in (nights, built))
    before = _content(spark, nights, "training")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("jobs.backfill.publish_zipped", _killed)
        backfill_features(grown, ["plays"])
    pd.testing.assert_frame_equal(_content(spark, nights, "training"), before)
    assert {made.name for made in backfill_features(grown, ["plays"])} == {"zipped", "evaluation", "training"}
    run_stages(whole, STAGES)
    for name in ("unified", "pool", "evaluation", "training"):
        pd.testing.assert_frame_equal(_content(spark, grown, name), _content(spark, whole, name), obj=name)
    assert (_content(spark, grown, "training")["plays_length"] <= 3).all() and (before["plays_length"] > 3).any()
    assert backfill_features(grown, ["plays"]) == []


def test_a_forgotten_user_leaves_the_pool_what_is_remembered_and_every_group(
    spark: SparkSession, nights: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LATTICE_PRIVACY_KEY", "k" * 40)
    searching = Target.parse(str(nights.folder / "video.yaml"), nights.warehouse, "searching")
    run_stages(searching, STAGES[:2])
    places = [(nights, "pool"), (nights, "unified"), (searching, "unified")]
    before = [_content(spark, target, name) for target, name in places]
    remembered = [Path(nights.group_table(name)) for name in ("past", "past_pool", "samples")]
    assert all(folder.is_dir() for folder in remembered[:2])
    # As a night leaves it before the test range has begun.
    remembered[2].mkdir(exist_ok=True)
    (remembered[2] / "training-20240405T000000.arrow").write_bytes(b"rows of this user, too")
    gone = sorted(set(before[0]["user_id"]) & set(before[2]["user_id"]))[0]
    record = forget_users(nights, [gone], at_once=True)
    assert record is not None
    taken = {table.table: table.rows for table in record.tables}
    for (target, name), was in zip(places, before, strict=True):
        held = was["user_id"] == gone
        assert held.sum() == taken[f"{target.group}/{name}"] > 0
        kept = was[~held].reset_index(drop=True)
        pd.testing.assert_frame_equal(_content(spark, target, name), kept, obj=f"{target.group}/{name}")
        for file in Path(target.group_table(name)).rglob("*.parquet"):
            assert gone not in set(pd.read_parquet(file).get("user_id", [])), file
    assert not any(folder.exists() for folder in remembered)
