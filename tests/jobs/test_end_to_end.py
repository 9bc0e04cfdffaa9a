"""The whole way on a small space that looks nothing like the shipped one: a user's CSV, Parquet and Delta files.

Real commands in their own processes, one stage through the real spark-submit.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable

from pipelines.tables import published
from tests.spaces.video import write_video

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
ENVIRONMENT = {
    **os.environ,
    "LATTICE_MASTER": "local[2]",
    "LATTICE_DRIVER_MEMORY": "2g",
    "PYSPARK_PYTHON": sys.executable,
}


def run(*command: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**ENVIRONMENT, **variables}
    return subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, env=environment, check=False, timeout=600
    )


def lattice(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return run(BIN / "lattice", *arguments)


class Video:
    """The video space, built."""

    def __init__(self, folder: Path) -> None:
        self.space = write_video(folder, seed=3)
        self.warehouse = folder / "warehouse"

    @property
    def options(self) -> tuple[str | Path, ...]:
        return ("--space", self.space, "--warehouse", self.warehouse)

    def table(self, name: str) -> DeltaTable:
        folder = self.warehouse / "video"
        uri = folder / name if (folder / name).exists() else folder / "all" / name
        found = published(str(uri))
        assert found is not None, name
        return DeltaTable(found.uri, version=found.version)


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Video:
    made = Video(tmp_path_factory.mktemp("video"))
    # The first stage through the real spark-submit, with the options of the command of that name.
    submitted = run(BIN / "spark-submit", "--master", "local[2]", ROOT / "jobs" / "ingest.py", *made.options)
    assert submitted.returncode == 0, submitted.stderr
    demo = lattice("demo", *made.options, "--sample", "users=1")
    assert demo.returncode == 0, demo.stderr
    made.output = demo.stdout + demo.stderr  # type: ignore[attr-defined]
    return made


def test_the_demo_ends_with_metrics_and_a_report(video: Video) -> None:
    output: str = video.output  # type: ignore[attr-defined]
    assert "feed/click" in output
    assert "search/subscribe/2d" in output
    report = Path(output.split("Report: ")[1].splitlines()[0])
    assert "A made-up video service" in report.read_text()


def test_a_second_run_skips_everything_and_says_so(video: Video) -> None:
    again = lattice("demo", *video.options, "--sample", "users=1")
    assert again.returncode == 0, again.stderr
    for stage in ("ingest", "unify", "zip", "hold-out", "prepare", "train", "evaluate"):
        assert f"{stage}: skipped" in again.stderr


def test_every_impression_is_unified_and_zipped_once(video: Video) -> None:
    impressions = video.table("impressions").to_pandas(columns=["impression_id"])["impression_id"]
    unified = video.table("unified").to_pandas(columns=["impression_id"])["impression_id"]
    zipped = video.table("zipped").to_pandas(columns=["impression_id", "window", "available_time", "impression_time"])
    assert sorted(impressions) == sorted(unified)
    assert zipped["impression_id"].is_unique
    assert set(zipped["window"]) == {"90m", "2d"}
    assert 0.45 < (zipped["window"] == "2d").mean() < 0.55


def test_the_manifest_pins_what_the_model_was_trained_on(video: Video) -> None:
    listed = json.loads(lattice("tables", *video.options, "--json").stdout)
    versions = {row["table"]: row["version"] for row in listed}
    manifests = video.warehouse / "video" / "all" / "manifests"
    manifest = json.loads((manifests / f"training-{versions['training']}.json").read_text())
    assert {name: table["version"] for name, table in manifest["tables"].items()}.items() <= versions.items()
    training = video.table("training")
    columns = training.schema().to_arrow().names
    assert {part["column"] for kind in ("categorical", "dense", "objectives") for part in manifest[kind]} <= set(
        columns
    )
    files = [pq.read_metadata(path.removeprefix("file://")) for path in training.file_uris()]
    assert sum(file.num_rows for file in files) == manifest["tables"]["training"]["rows"]


def test_the_model_learned_who_likes_what(video: Video) -> None:
    metrics = json.loads(lattice("evaluate", *video.options, "--json").stdout)
    portfolios = {(p["domain"], p["objective"]): p for p in metrics["slices"][0]["portfolios"]}
    assert set(portfolios) == {(d, o) for d in ("feed", "search") for o in ("click", "subscribe")}
    for portfolio in portfolios.values():
        assert portfolio["positives"] + portfolio["negatives"] == portfolio["rows"] > 0
    # A favourite genre makes a click five times as likely, and the past plays show it.
    assert portfolios["feed", "click"]["auc"] > 0.6


def test_a_baseline_is_trained_evaluated_and_counted(video: Video, tmp_path: Path) -> None:
    folders = (*video.options, "--models", tmp_path)
    trained = json.loads(lattice("train", *folders, "--model", "dlrm", "--json").stdout)
    assert trained["network"] == "dlrm"
    metrics = json.loads(lattice("evaluate", *folders, "--json").stdout)
    assert metrics["model"] == trained["model"]
    cost = json.loads(lattice("flops", *video.options, "--model", "dlrm", "--json").stdout)
    assert round(cost["total"]["dense_mparams"] * 1e6) == trained["dense_parameters"]
    assert round(cost["total"]["embedding_mparams"] * 1e6) == trained["embedding_parameters"]
    assert cost["total"]["mflops"] > 0
    unknown = lattice("train", *video.options, "--model", "rival")
    assert unknown.returncode == 2
    assert "Known: lattice, afn" in unknown.stderr


def test_two_processes_train_a_model_that_scores_by_spark(video: Video, tmp_path: Path) -> None:
    """The commands of docs/training.md and docs/serving.md, from torchrun to the table of scores."""
    folders = (*video.options, "--models", tmp_path)
    torchrun = (BIN / "torchrun", "--nproc-per-node", "2", ROOT / "jobs" / "train.py", *folders)
    trained = run(*torchrun, "--json", OMP_NUM_THREADS="1")
    assert trained.returncode == 0, trained.stderr
    log = json.loads(trained.stdout)
    assert log["processes"] == 2
    assert "is_fx_tracing" not in trained.stderr  # what is said to developers of torch
    again = run(*torchrun, OMP_NUM_THREADS="1")
    assert again.returncode == 0, again.stderr
    assert "skipped" in again.stderr
    metrics = json.loads(lattice("evaluate", *folders, "--json").stdout)
    assert metrics["model"] == log["model"]
    exported = lattice("export", *folders)
    assert exported.returncode == 0, exported.stderr
    scored = lattice("score", *folders, "--table", "evaluation", "--out", tmp_path / "scores", "--json")
    assert scored.returncode == 0, scored.stderr
    scores = DeltaTable(str(tmp_path / "scores")).to_pandas()
    assert set(scores["model"]) == {log["model"]}
    assert scores["probability"].between(0, 1).all()
    assert len(scores) == 2 * video.table("evaluation").count()  # two objectives in every domain


def test_labels_agree_with_an_independent_computation(video: Video) -> None:
    """By pandas, straight from the files: which search impressions were followed by a subscription in time."""
    import pandas as pd

    folder = video.space.parent
    search = pd.concat([pd.read_parquet(path) for path in sorted((folder / "search").glob("*.parquet"))])
    subscriptions = pd.read_csv(folder / "subscriptions.csv", parse_dates=["subscribed_at"])
    pairs = search.merge(subscriptions, on=["viewer", "clip"])
    delay = pairs["subscribed_at"] - pairs["shown_at"]
    won = pairs[(delay > pd.Timedelta(0)) & (delay <= pd.Timedelta(days=2))]
    columns = ["domain", "split", "user_id", "item_id", "impression_time", "label_subscribe"]
    rows = video.table("evaluation").to_pandas(columns=columns)
    rows = rows[rows["domain"] == "search"]
    key = pd.MultiIndex.from_frame(rows[["user_id", "item_id", "impression_time"]])
    expected = key.isin(pd.MultiIndex.from_frame(won[["viewer", "clip", "shown_at"]]))
    assert 0 < expected.sum() < len(rows)
    assert (rows["label_subscribe"].to_numpy() == expected).all()


def test_another_machine_builds_the_same_tables(video: Video, tmp_path: Path) -> None:
    """One core instead of two, an empty warehouse: the same rows in the same order, file by file."""
    built = run(
        BIN / "lattice", "build", "--space", video.space, "--warehouse", tmp_path, "--sample", "users=1",
        LATTICE_MASTER="local[1]",
    )  # fmt: skip
    assert built.returncode == 0, built.stderr
    for name in ("training", "evaluation"):
        uri = tmp_path / "video" / "all" / name
        found = published(str(uri))
        assert found is not None
        ours, theirs = video.table(name), DeltaTable(found.uri, version=found.version)
        assert ours.count() > 0
        assert _content(ours) == _content(theirs)


def _content(table: DeltaTable) -> list[pa.Table]:
    return [pq.read_table(path) for path in sorted(table.file_uris())]
