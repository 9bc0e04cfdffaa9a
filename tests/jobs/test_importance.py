"""``lattice importance`` on a small table and an untrained model: the published rows, kills, mistakes."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pandas as pd
import pytest
from deltalake import DeltaTable, write_deltalake
from pyspark.sql import SparkSession
from rich.console import Console

from jobs.importance import _groups
from jobs.importance_pieces import FEATURES, Pieces
from jobs.importance_run import Request, measure_importance
from jobs.target import Target
from lattice_model.importance.config import ImportanceConfig
from lattice_model.importance.engine import Engine
from lattice_model.importance.features import features_of
from lattice_model.importance.rows import KEYS, Rows
from lattice_model.loader import Loader, Selection
from lattice_model.training.checkpoint import Checkpoint, save
from lattice_model.training.config import TrainingConfig
from lattice_model.training.trainer import CHECKPOINT, LOG
from pipelines.tables import files, published
from schemas.errors import LatticeError
from schemas.importance import IMPORTANCE
from schemas.manifest import PinnedTable, Split, TrainingManifest
from tests.lattice_model.factories import make_manifest
from tests.lattice_model.importance.test_engine import made
from tests.lattice_model.tables import make_table
from tests.spaces.video import write_video

ROWS = 360
CONFIG = ImportanceConfig(repeats=2, seed=4, negligible=0.0)
ORDER = ["feature", "domain", "objective"]


class Place:
    """A warehouse with an evaluation table, two thirds of it validation rows, and a model of each split."""

    def __init__(self, folder: Path) -> None:
        self.warehouse = folder / "warehouse"
        folder.mkdir(exist_ok=True)
        self.space = write_video(folder, seed=3, users=4, shown_a_day=1)
        self.target = Target.parse(str(self.space), str(self.warehouse), "all")
        uri = self.target.group_table("evaluation")
        plain = make_manifest(dense=16)
        write_deltalake(uri, make_table(plain, ROWS))
        pinned = PinnedTable(uri=uri, version=0, rows=ROWS)
        self.manifest: TrainingManifest = plain.model_copy(update={"tables": {"evaluation": pinned}})
        self.blind, self.seeing = self.model("b", "validation"), self.model("s", "test")

    def model(self, name: str, split: Split) -> Path:
        folder = self.target.models / name
        checkpoint = Checkpoint(
            network=made("lattice", self.manifest), training=TrainingConfig(), manifest=self.manifest, split=split
        )
        save(folder / CHECKPOINT, checkpoint)
        (folder / LOG).write_text("{}")
        return folder

    def table(self) -> pd.DataFrame:
        found = published(self.target.group_table("importance"))
        assert found is not None
        return pd.concat([pd.read_parquet(path.removeprefix("file://")) for path in files(found)])


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(tmp_path_factory.mktemp("importance"))


def request(rows: int = 10_000, **settings: float) -> Request:
    config = CONFIG.model_copy(update=settings)
    return Request(rows=rows, config=config, together={"pair": ["number_1", "id_0"]})


def test_the_table_holds_what_the_engine_measures(spark: SparkSession, place: Place) -> None:
    """On all validation rows, read from the evaluation table itself, in one process."""
    table = published_by(spark, place, request())
    assert list(table.columns) == [column.name for column in IMPORTANCE]
    files = DeltaTable(place.target.group_table("evaluation")).file_uris()
    loader = Loader(
        files, place.manifest, batch_size=100, shuffle=False, keys=KEYS, selection=Selection(split="validation")
    )
    engine = Engine(made("lattice", place.manifest), Rows.read(loader.epoch(), place.manifest), CONFIG)
    features = features_of(place.manifest, {"pair": ["number_1", "id_0"]})
    assert len(features) > 2 * FEATURES
    expected = pd.DataFrame([vars(part) for part in engine.measure(features)]).sort_values(ORDER, ignore_index=True)
    table = table.sort_values(ORDER, ignore_index=True)
    exact = [*ORDER, "kind", "rows", "repeats"]
    assert table[exact].equals(expected[exact])
    for column in ("mean", "standard_error"):
        assert table[column].to_numpy() == pytest.approx(expected[column].to_numpy(), abs=1e-7)
    assert set(table["model"]) == {"b"}
    assert (table["rows"] <= ROWS * 2 / 3).all()
    assert not Path(place.target.group_table("importance_runs"), table["run_id"][0]).exists()


def test_runs_lie_side_by_side_and_a_finished_one_is_not_repeated(spark: SparkSession, place: Place) -> None:
    few, again = (published_by(spark, place, request(rows=90)) for _ in range(2))
    assert few.sort_values(ORDER)["mean"].tolist() == again.sort_values(ORDER)["mean"].tolist()
    assert few["computed_at"].tolist() == again["computed_at"].tolist()
    assert place.table()["run_id"].nunique() == 2
    by_domain = few.groupby(["domain", "objective"])["rows"].max()
    assert by_domain.max() <= 30  # 90 rows, evenly shared among three domains


@dataclass(frozen=True, kw_only=True)
class Noted(Pieces):
    """Notes in ``notes`` which process makes an engine."""

    notes: Path

    def engine(self) -> Engine:
        (self.notes / f"{os.getpid()}-{uuid4()}").touch()
        return super().engine()


def test_a_process_reads_the_model_and_the_rows_once(spark: SparkSession, place: Place, tmp_path: Path) -> None:
    pieces = Noted(
        checkpoint=place.blind / CHECKPOINT,
        files=tuple(DeltaTable(place.target.group_table("evaluation")).file_uris()),
        features=features_of(place.manifest),
        config=CONFIG,
        folder=str(tmp_path / "pieces"),
        threads=1,
        notes=tmp_path,
    )
    slots = spark.sparkContext.defaultParallelism
    assert pieces.count > 1
    for _ in range(slots):  # of more runs than slots, one comes to a process that has an engine
        pieces.run(spark, Console(quiet=True))
        shutil.rmtree(pieces.folder)
    makers = [path.name.split("-")[0] for path in tmp_path.iterdir()]
    assert makers and len(makers) == len(set(makers))


def published_by(spark: SparkSession, place: Place, asked: Request) -> pd.DataFrame:
    run = measure_importance(place.target, spark, place.blind, asked).select("run_id").first()
    assert run is not None
    table = place.table()
    found: pd.DataFrame = table[table["run_id"] == run["run_id"]]
    return found.reset_index(drop=True)


def test_a_killed_run_goes_on_where_it_stood(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Killed as soon as a piece is finished; the second run takes that piece and gives what a whole run gives."""
    place = Place(tmp_path)
    command = (
        Path(sys.executable).with_name("python"), "-m", "jobs.cli", "importance", "--space", place.space,
        "--warehouse", place.warehouse, "--model", "b", "--repeats", "20", "--negligible", "0", "--json",
    )  # fmt: skip
    environment = {**os.environ, "LATTICE_MASTER": "local[1]", "LATTICE_DRIVER_MEMORY": "1g"}
    arguments = [str(part) for part in command]
    killed = subprocess.Popen(arguments, env=environment, start_new_session=True, stderr=subprocess.PIPE)
    runs = Path(place.target.group_table("importance_runs"))
    deadline = time.monotonic() + 900
    while not list(runs.glob("*/pieces/*.json")) and time.monotonic() < deadline and killed.poll() is None:
        time.sleep(0.02)
    os.killpg(killed.pid, signal.SIGKILL)
    _, said = killed.communicate()
    finished = {path.name: path.stat().st_mtime_ns for path in runs.glob("*/pieces/*.json")}
    assert 0 < len(finished) < 3, said.decode()[-2000:]
    assert published(place.target.group_table("importance")) is None
    resumed = subprocess.run(arguments, env=environment, capture_output=True, text=True, check=True)
    assert f"{len(finished)} of 3 pieces were finished before" in resumed.stderr
    found = pd.DataFrame(json.loads(resumed.stdout))
    assert found["feature"].nunique() == len(features_of(place.manifest))
    assert not found.duplicated(ORDER).any()
    whole = Place(tmp_path / "whole")
    arguments[arguments.index(str(place.space))] = str(whole.space)
    arguments[arguments.index(str(place.warehouse))] = str(whole.warehouse)
    expected = pd.DataFrame(json.loads(subprocess.run(arguments, env=environment, capture_output=True).stdout))
    assert found[[*ORDER, "mean", "standard_error"]].equals(expected[[*ORDER, "mean", "standard_error"]])


def test_a_model_that_has_seen_the_rows_is_refused(spark: SparkSession, place: Place) -> None:
    with pytest.raises(LatticeError, match=r"split 'test'.*\n.*--split validation"):
        measure_importance(place.target, spark, place.seeing, request())


def test_a_group_that_makes_no_sense_is_refused_before_anything_is_done(spark: SparkSession, place: Place) -> None:
    asked = Request(rows=10, config=CONFIG, together={"new": ["nothing"]})
    with pytest.raises(LatticeError, match="No feature is called 'nothing'"):
        measure_importance(place.target, spark, place.blind, asked)


@pytest.mark.parametrize("declared", ["pair", "=id_0", "pair=", "twice=id_0"])
def test_groups_are_written_as_they_should_be(declared: str) -> None:
    assert _groups(["one=id_0,number_*"]) == {"one": ["id_0", "number_*"]}
    with pytest.raises(LatticeError, match="declares no new group"):
        _groups(["twice=id_1", declared])
