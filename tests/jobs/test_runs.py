"""A run's record says how it went, whatever ended it; its id is in every line of the log."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from jobs import logs
from jobs.build import STAGES
from jobs.cli import application
from jobs.logs import LogFormat, configure, say
from jobs.runs import records, running
from jobs.target import Target
from schemas.errors import LatticeError
from tests.spaces.video import write_video


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Target:
    folder = tmp_path_factory.mktemp("video")
    space = write_video(folder, seed=3, users=4, shown_a_day=1)
    return Target.parse(str(space), str(folder / "warehouse"), "all")


def test_a_record_says_how_a_run_ended(target: Target) -> None:
    with running(target, "build") as first:
        (on,) = [record for record in records(target) if record.id == first.id]
        assert (on.state, on.ended, on.seconds) == ("running", None, None)
    with pytest.raises(LatticeError), running(target, "nightly") as second:
        raise LatticeError("the place", "is wrong.\n    For example user=u1.", "Mend it.")
    with pytest.raises(KeyboardInterrupt), running(target, "nightly") as third:
        raise KeyboardInterrupt
    found = {record.id: record for record in records(target)}
    assert found[first.id].state == "succeeded"
    assert found[first.id].seconds is not None
    assert (found[second.id].state, found[second.id].problem) == ("failed", "the place: is wrong.")
    assert (found[third.id].state, found[third.id].problem) == ("failed", "KeyboardInterrupt")
    assert [record.started for record in found.values()] == sorted(record.started for record in found.values())


def test_only_one_run_at_a_time(target: Target) -> None:
    with running(target, "build"), pytest.raises(LatticeError, match="Another run"), running(target, "build"):
        pass


def test_each_line_of_json_has_the_runs_id(target: Target, capsys: pytest.CaptureFixture[str]) -> None:
    configure(LogFormat.json)
    try:
        with running(target, "build") as run:
            say("  unified 5 rows", table="unified", rows=5)
        say("after it")
    finally:
        logs.log.handlers.clear()
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["run"] for line in lines] == [run.id, run.id, None]
    assert (lines[0]["message"], lines[0]["table"], lines[0]["rows"]) == ("unified 5 rows", "unified", 5)
    assert lines[1]["command"] == "build"
    assert all({"time", "level", "run", "message"} <= set(line) for line in lines)


def test_a_persons_line_begins_with_the_runs_id(target: Target, capsys: pytest.CaptureFixture[str]) -> None:
    configure(LogFormat.text)
    try:
        with running(target, "build") as run:
            say("zip: labels")
    finally:
        logs.log.handlers.clear()
    assert capsys.readouterr().err.startswith(f"{run.id} zip: labels\n{run.id} build: finished in ")


def test_an_unknown_run_cannot_be_gone_back_to(target: Target) -> None:
    with running(target, "build") as run:
        pass
    command = [
        "rollback",
        "--run",
        "none",
        "--space",
        str(target.folder / "video.yaml"),
        "--warehouse",
        target.warehouse,
    ]
    result = CliRunner().invoke(application("rollback"), command)
    assert isinstance(result.exception, LatticeError)
    assert run.id in str(result.exception)


def test_the_target_names_every_table_of_the_stages(target: Target) -> None:
    assert sorted(target.tables) == sorted(uri for stage in STAGES for uri in stage.tables(target))


def test_records_are_files_in_the_warehouse(target: Target) -> None:
    with running(target, "build") as run:
        pass
    record = json.loads(Path(target.runs, f"{run.id}.json").read_text(encoding="utf-8"))
    assert (record["id"], record["command"], record["space"], record["state"]) == (
        run.id,
        "build",
        "video",
        "succeeded",
    )
