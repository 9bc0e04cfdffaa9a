"""The tutorial is run: every command of docs/own-data.md, in order, those of ``lattice`` in this process."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from typer.testing import CliRunner

from benchmarks.quality_result import Machine
from benchmarks.tutorial import PAGE, Step, Tutorial, commands, page
from jobs.cli import application
from pipelines.tables import published


def test_two_csv_files_become_a_model_and_a_night_is_added(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    said = {}
    for command in commands(PAGE.read_text(encoding="utf-8")):
        if command.startswith("lattice "):
            name, *arguments = shlex.split(command)[1:]
            # The JVM of these tests stays in the folder that it was started in.
            arguments = [str(tmp_path / word) if word == "warehouse" else word for word in arguments]
            result = CliRunner().invoke(application(name), [name, *arguments])
            assert result.exit_code == 0, (command, result.output, result.exception)
            said[name] = result.stdout
        else:
            subprocess.run(["bash", "-ec", command], check=True, stdout=subprocess.DEVNULL)
    assert list(said) == ["init", "plan", "build", "train", "evaluate", "report", "nightly", "status"]
    assert "views/order" in said["evaluate"]
    rows = {}
    for name in ("impressions", "all/zipped", "all/training"):
        table = published(str(tmp_path / "warehouse" / "shop" / name))
        assert table is not None, name
        assert table.through is not None
        rows[name] = (table.rows, f"{table.through:%Y-%m-%d}")
    views = len((tmp_path / "views.csv").read_text().splitlines()) - 1
    assert rows["impressions"] == (views, "2024-05-02")
    assert 0.9 * views < rows["all/zipped"][0] < views
    assert rows["all/zipped"][1] == rows["all/training"][1] == "2024-05-02"


def test_a_here_document_is_one_command_and_a_comment_is_none() -> None:
    text = "```\ncat > a <<'E'\n# kept\nE\n# why\nls\n```\n\n```yaml\nno: command\n```\n\n```\npwd\n```\n"
    assert commands(text) == ["cat > a <<'E'\n# kept\nE", "ls", "pwd"]


def test_the_page_of_results_has_a_row_a_command_and_the_sum() -> None:
    steps = (Step(command="lattice init a", seconds=30.0), Step(command="cat <<'E'\nx\nE", seconds=60.0))
    shown = page(Tutorial(machine=Machine.here(), steps=steps))
    assert "in 1.5 minutes" in shown
    assert "| `lattice init a` | 30.0 |" in shown
    assert "| `cat <<'E'` | 60.0 |" in shown
