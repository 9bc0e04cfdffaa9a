"""A user's mistake ends in one message, a non-zero exit, no stack trace, and nothing published."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from pyspark.sql import SparkSession

from jobs import ingest, options
from pipelines.tables import published
from tests.spaces.video import write_video


def _drop_column(folder: Path) -> None:
    pd.read_csv(folder / "feed.csv").drop(columns="viewer").to_csv(folder / "feed.csv", index=False)


def _wrong_type(folder: Path) -> None:
    feed = pd.read_csv(folder / "feed.csv").astype({"position": str})
    feed.loc[3, "position"] = "third"
    feed.to_csv(folder / "feed.csv", index=False)


def _empty(folder: Path) -> None:
    pd.read_csv(folder / "feed.csv").iloc[:0].to_csv(folder / "feed.csv", index=False)


def _truncated(folder: Path) -> None:
    path = folder / "plays.parquet"
    path.write_bytes(path.read_bytes()[:-100])


def _duplicates(folder: Path) -> None:
    feed = pd.read_csv(folder / "feed.csv")
    pd.concat([feed, feed.iloc[:2]]).to_csv(folder / "feed.csv", index=False)


def _null_ids(folder: Path) -> None:
    feed = pd.read_csv(folder / "feed.csv")
    feed.loc[5:30, "viewer"] = None
    feed.to_csv(folder / "feed.csv", index=False)


def _early_feedback(folder: Path) -> None:
    subscriptions = pd.read_csv(folder / "subscriptions.csv")
    subscriptions["subscribed_at"] = pd.to_datetime(subscriptions["subscribed_at"]) - pd.Timedelta(days=400)
    subscriptions.to_csv(folder / "subscriptions.csv", index=False)


def _backwards(folder: Path) -> None:
    feed = pd.read_csv(folder / "feed.csv")
    arrival = pd.to_datetime(feed["shown_at"]) - pd.Timedelta(hours=1)
    feed.assign(arrival_time=arrival).to_csv(folder / "feed.csv", index=False)


def _no_file(folder: Path) -> None:
    (folder / "viewers.csv").unlink()


MISTAKES: list[tuple[Callable[[Path], None], list[str]]] = [
    (_drop_column, ["viewer", "missing"]),
    (_wrong_type, ["position", "third"]),
    (_empty, ["feed", "empty"]),
    (_truncated, ["plays.parquet", "cut short"]),
    (_duplicates, ["table 'impressions'", "impression_id is there more than once in 4 of", "feed-0"]),
    (_null_ids, ["table 'impressions'", "user_id is null in 26 of", "source_key=feed-", "quarantine"]),
    (_early_feedback, ["subscribe", "before any impression"]),
    (_backwards, ["arrival_time lies before impression_time"]),
    (_no_file, ["viewers.csv", "no such file"]),
]


@pytest.mark.parametrize(("spoil", "says"), MISTAKES, ids=[spoil.__name__.strip("_") for spoil, _ in MISTAKES])
def test_a_mistake_in_the_data(
    spark: SparkSession,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    spoil: Callable[[Path], None],
    says: list[str],
) -> None:
    space = write_video(tmp_path, seed=3, users=12, shown_a_day=2)
    spoil(tmp_path)
    warehouse = str(tmp_path / "warehouse")
    with pytest.raises(SystemExit) as stopped:
        options.guarded(lambda: ingest.ingest(space=str(space), warehouse=warehouse, group="all", sample=None))
    message = capsys.readouterr().err
    assert stopped.value.code == 2
    assert "Traceback" not in message
    for part in says:
        assert part.lower() in " ".join(message.lower().split()), message
    name = "feedback" if spoil is _early_feedback else "impressions"
    if spoil not in (_truncated, _no_file):
        assert published(f"{warehouse}/video/{name}") is None


def test_a_warehouse_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    space = write_video(tmp_path, seed=3, users=12, shown_a_day=2)
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit) as stopped:
        options.guarded(
            lambda: ingest.ingest(space=str(space), warehouse=str(tmp_path / "file"), group="all", sample=None)
        )
    assert stopped.value.code == 2
    assert "cannot be written" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"group": "none"}, "no group 'none'"),
        ({"sample": "half=2"}, "no sample 'half=2'"),
        ({"space": "nowhere.yaml"}, "complete_journey"),
    ],
)
def test_options_that_make_no_sense(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: dict[str, str], says: str
) -> None:
    given = {"space": "complete_journey", "warehouse": str(tmp_path), "group": "all", "sample": None, **arguments}
    with pytest.raises(SystemExit) as stopped:
        options.guarded(lambda: ingest.ingest(**given))
    assert stopped.value.code == 2
    assert says in capsys.readouterr().err
