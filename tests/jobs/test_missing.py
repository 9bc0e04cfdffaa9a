"""Raw rows that are delivered after their night, by a source that does not say when rows arrive: counted, not lost."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pyspark.sql import SparkSession
from typer.testing import CliRunner

from jobs import ingest
from jobs.cli import application
from jobs.runs import records
from jobs.stages import grow_stages
from jobs.target import Target
from pipelines.tables import published
from tests.spaces.video import write_video

NIGHT = datetime(2024, 4, 10, tzinfo=UTC)
STAGES = (ingest.STAGE,)


def test_rows_delivered_after_their_night_are_counted_in_the_nights_that_follow(
    spark: SparkSession, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = Target.parse(str(write_video(tmp_path, seed=3, users=4, shown_a_day=2)), str(tmp_path / "w"), "all")
    whole = {name: pd.read_csv(tmp_path / f"{name}.csv", dtype=str) for name in ("feed", "subscriptions")}
    # Local noon and afternoon are of the same day in UTC.
    feed = whole["feed"]["shown_at"].between("2024-04-08 03:00:00", "2024-04-08 23:00:00")
    subscribed = pd.to_datetime(whole["subscriptions"]["subscribed_at"], utc=True)
    late = {"feed": feed, "subscriptions": subscribed.between(NIGHT - timedelta(days=1), NIGHT)}
    for name, rows in whole.items():
        rows[~late[name]].to_csv(tmp_path / f"{name}.csv", index=False)
    grow_stages(target, STAGES, NIGHT)
    assert records(target)[-1].late == 0
    for name, rows in whole.items():
        rows.to_csv(tmp_path / f"{name}.csv", index=False)

    made = grow_stages(target, STAGES, NIGHT + timedelta(days=1))
    wanted = {"impressions": int(feed.sum()), "feedback": int(late["subscriptions"].sum())}
    assert {table.name: table.missing for table in made if table.missing} == wanted
    assert records(target)[-1].late == sum(wanted.values()) > 3
    assert f"impressions: {wanted['impressions']} raw rows of the 7 days before 2024-04-10 are in no table" in (
        capsys.readouterr().err
    )
    _status_says_what_is_stale_and_late(target, tmp_path, sum(wanted.values()))
    # They are not added: a published day stays as it is.
    table = published(target.space_table("impressions"))
    assert table is not None
    shown = pd.concat([whole["feed"]["shown_at"][~feed].pipe(_local), _searched(tmp_path)])
    assert table.rows == (shown < NIGHT + timedelta(days=1)).sum()


def _status_says_what_is_stale_and_late(target: Target, folder: Path, late: int) -> None:
    """Only ingest has run, up to the night after ``NIGHT``."""

    def status(day: str) -> tuple[int, dict[str, Any]]:
        named = ["status", "--space", str(folder / "video.yaml"), "--warehouse", target.warehouse]
        result = CliRunner().invoke(application("status"), [*named, "--json", "--expect", day])
        return result.exit_code, json.loads(result.stdout)

    code, found = status("2024-04-10")
    assert code == 3
    assert {"unified", "zipped", "training"} <= set(found["overdue"])
    assert not {"impressions", "feedback", "events_plays"} & set(found["overdue"])
    through = {table["table"]: table["through"] for table in found["tables"]}
    assert (through["impressions"], through["unified"]) == ("2024-04-11T00:00:00+00:00", None)
    assert sum(table["missing"] for table in found["runs"][-1]["tables"]) == late
    code, found = status("2024-04-11")
    assert code == 3
    assert {"impressions", "feedback", "events_plays"} <= set(found["overdue"])


def _local(times: "pd.Series[str]") -> "pd.Series[pd.Timestamp]":
    return pd.to_datetime(times).dt.tz_localize("Europe/Berlin").dt.tz_convert("UTC")


def _searched(folder: Path) -> "pd.Series[pd.Timestamp]":
    return pd.to_datetime(pd.read_parquet(folder / "search")["shown_at"], utc=True)
