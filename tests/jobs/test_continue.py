"""Nights of training on: the serving model goes on through new rows, and the new one serves if its gates pass."""

import json
from datetime import UTC, date, datetime
from pathlib import Path

import pandas as pd
import pytest
from pyspark.sql import SparkSession

from jobs.continuing import GATES, continue_model
from jobs.model_config import ModelConfig
from jobs.models import SERVING, current_manifest, pinned_files, read_pointer, set_pointer
from jobs.nightly import run_night
from jobs.target import Target
from jobs.train import train_model
from lattice_model.loader import Loader, Selection
from lattice_model.training.checkpoint import load
from lattice_model.training.log import TrainingLog
from lattice_model.training.state import read_state
from lattice_model.training.trainer import CHECKPOINT, LOG, OPTIMIZERS
from schemas.errors import LatticeError
from tests.spaces.video import write_video

SETTINGS = """
training: {batch_size: 64, warmup: 0.0, schedule: constant}
gates: {hours: 24, ne_at_most_worse: 0.5, calibration: [0.2, 5.0], minimum_positives: 5}
"""


@pytest.fixture(scope="module")
def target(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Target:
    space = write_video(tmp_path_factory.mktemp("video"), seed=5, users=20, shown_a_day=3)
    made = Target.parse(str(space), str(tmp_path_factory.mktemp("warehouse")), "all")
    run_night(made, date(2024, 3, 29))
    return made


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("settings") / "settings.yaml"
    path.write_text(SETTINGS)
    return path


@pytest.fixture(scope="module")
def first(target: Target, settings: Path) -> Path:
    return train_model(target, "test", ModelConfig.read(settings))


@pytest.fixture(scope="module")
def second(target: Target, settings: Path, first: Path) -> Path:
    """Two nights later."""
    set_pointer(target, SERVING, first.name, "the first")
    run_night(target, date(2024, 3, 31))
    return continue_model(target, settings)


def served(target: Target) -> str:
    pointer = read_pointer(target, SERVING)
    assert pointer is not None
    return pointer.model


def test_nothing_serves_yet(target: Target, first: Path) -> None:
    (target.models / "serving.json").unlink(missing_ok=True)
    with pytest.raises(LatticeError, match="No model serves yet"):
        continue_model(target, None)


def test_it_learns_from_the_rows_between_and_serves(target: Target, first: Path, second: Path) -> None:
    log, before = TrainingLog.read(second / LOG), load(first / CHECKPOINT)
    assert before.trained_before == datetime(2024, 3, 30, tzinfo=UTC)  # no later than what was published then
    assert log.cut == datetime(2024, 3, 31, tzinfo=UTC) and log.continued == first.name
    rows = _available(target)
    between = (rows >= before.trained_before) & (rows < log.cut)
    assert log.rows == between.sum() > 50
    assert served(target) == second.name
    verdict = json.loads((second / GATES).read_text())
    assert verdict["rows"] == (rows >= log.cut).sum() > 50
    assert verdict["failed"] == [] and verdict["against"] == first.name
    pointer = read_pointer(target, SERVING)
    assert pointer is not None
    assert [entry.model for entry in pointer.history] == [first.name, second.name]
    assert pointer.history[1].reason.startswith("gates passed: NE ")


def test_it_goes_on_with_the_optimizers_state(first: Path, second: Path) -> None:
    steps = []
    for folder in (first, second):
        found = read_state(folder / OPTIMIZERS)
        assert found is not None
        states = found[1]["optimizers"][0]["state"]
        steps.append({int(state["step"]) for state in states.values()})
    logs = [TrainingLog.read(folder / LOG) for folder in (first, second)]
    assert steps == [{logs[0].steps}, {logs[0].steps + logs[1].steps}]


def test_the_same_night_again_changes_nothing(target: Target, settings: Path, second: Path) -> None:
    assert continue_model(target, settings) == second
    assert served(target) == second.name


def test_a_model_that_fails_is_kept_and_does_not_serve(
    target: Target, settings: Path, second: Path, tmp_path: Path
) -> None:
    run_night(target, date(2024, 4, 1))
    strict = tmp_path / "strict.yaml"
    strict.write_text(SETTINGS.replace("[0.2, 5.0]", "[1.0, 1.0]"))
    for _ in range(2):  # the second time it is judged again, not trained again
        with pytest.raises(LatticeError, match=r"(?s)the gates of model.*calibration of 'click' is") as caught:
            continue_model(target, strict)
    assert served(target) == second.name
    name = caught.value.place.split()[-1]
    assert f"`lattice models --serve {name}`" in caught.value.remedy
    assert TrainingLog.read(target.models / name / LOG).continued == second.name
    assert continue_model(target, settings).name == name == served(target)


def test_another_network_is_no_continuation(target: Target, second: Path, tmp_path: Path) -> None:
    wider = tmp_path / "wider.yaml"
    wider.write_text("network: {task_width: 64}")
    with pytest.raises(LatticeError, match="not the settings that the serving model was built with"):
        continue_model(target, wider)


def _available(target: Target) -> "pd.Series[pd.Timestamp]":
    """When each row of the training table became available."""
    manifest = current_manifest(target)
    keys = ["available_time"]
    loader = Loader(
        pinned_files(manifest.tables["training"]), manifest, batch_size=9999, keys=keys, selection=Selection()
    )
    times = [loaded.keys["available_time"] for loaded in loader.epoch()]
    return pd.concat([pd.Series(part) for part in times]).dt.tz_localize("UTC")
