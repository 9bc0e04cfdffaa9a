"""A folder that is delivered days later: what is late is kept apart and counted, what is not is added, none is lost."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from pyspark.sql import SparkSession
from typer.testing import CliRunner

from jobs.cli import application
from jobs.ingest import STAGE
from jobs.stages import grow_stages
from jobs.target import Target
from pipelines.tables import read_rows, require

OBSERVED = {"from": "2024-03-01T00:00:00Z", "to": "2024-04-01T00:00:00Z"}
COLUMNS = {"user_id": "viewer", "item_id": "clip"}


def _file(name: str, time: str) -> dict[str, object]:
    columns = {**COLUMNS, time: "at", "arrival_time": "delivered"}
    return {"path": name, "format": "csv", "columns": columns}


def _deliver(folder: Path, name: str, delivered: str, *rows: str) -> None:
    inner = folder / name / f"delivered={delivered}"
    inner.mkdir(parents=True)
    (inner / "part.csv").write_text("\n".join(["viewer,clip,at", *rows, ""]))


@pytest.fixture
def target(tmp_path: Path) -> Target:
    declared = {
        "name": "late",
        "id_spaces": {"clip": 8},
        "domains": {"feed": {"impressions": _file("feed", "impression_time")}},
        "objectives": {
            "order": {
                "domains": ["feed"],
                "windows": ["1d"],
                "observed": OBSERVED,
                "feedback": _file("orders", "feedback_time"),
            }
        },
        "features": {"categorical": {"clip": {"column": "item_id", "id_space": "clip"}}},
        "groups": {"all": {"windows": ["1d"]}},
        "splits": {
            "validation": {"from": "2024-03-10", "to": "2024-03-11"},
            "test": {"from": "2024-03-12", "to": "2024-03-13"},
        },
    }
    (tmp_path / "late.yaml").write_text(yaml.safe_dump(declared))
    return Target.parse(str(tmp_path / "late.yaml"), str(tmp_path / "warehouse"), "all")


def _items(target: Target, table: str) -> list[str]:
    found = require(target.space_table(table), "lattice nightly")
    return sorted(read_rows(found, ["item_id"])["item_id"].to_pylist())


def test_a_folder_that_comes_days_later(spark: SparkSession, target: Target) -> None:
    folder = target.folder
    _deliver(folder, "feed", "2024-03-01", "u1,a,2024-03-01 09:00:00")
    _deliver(folder, "feed", "2024-03-02", "u1,b,2024-03-02 09:00:00")
    _deliver(folder, "orders", "2024-03-02", "u1,a,2024-03-01 10:00:00")
    grow_stages(target, [STAGE], datetime(2024, 3, 3, tzinfo=UTC))
    assert (_items(target, "impressions"), _items(target, "feedback")) == (["a", "b"], ["a"])

    # Of the day before yesterday, whose day is published, and of today, which is not.
    _deliver(folder, "feed", "2024-03-04", "u2,late,2024-03-02 23:00:00", "u2,c,2024-03-04 09:00:00")
    _deliver(folder, "orders", "2024-03-04", "u1,b,2024-03-02 11:00:00")
    grow_stages(target, [STAGE], datetime(2024, 3, 5, tzinfo=UTC))
    assert _items(target, "impressions") == ["a", "b", "c"]
    assert _items(target, "late_impressions") == ["late"]
    assert _items(target, "feedback") == ["a", "b"]
    said = CliRunner().invoke(
        application("status"),
        ["status", "--space", str(folder / "late.yaml"), "--warehouse", target.warehouse, "--json"],
    )
    assert json.loads(said.stdout)["late"]["late_impressions"] == 1
