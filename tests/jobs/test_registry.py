"""Pointers to models: which one serves, why, and back again."""

import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from jobs.cli import application
from jobs.models import SERVING, find_model, read_pointer, set_latest, set_pointer
from jobs.registry import go_back
from jobs.target import Target
from lattice_model.training.trainer import LOG
from schemas.errors import LatticeError
from tests.lattice_model.training.runs import CONFIG, made_up, run
from tests.spaces import video

SPACE = str(Path(video.__file__).with_suffix(".yaml"))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three small models, the last one finished first."""
    folder = tmp_path_factory.mktemp("models")
    for age, name in enumerate(("a", "b", "c")):
        run(folder / name, CONFIG.model_copy(update={"epochs": 1}), made_up(2))
        os.utime(folder / name / LOG, (1e9 - age, 1e9 - age))
    return folder


@pytest.fixture
def target(trained: Path) -> Target:
    for pointer in trained.glob("*.json"):
        pointer.unlink()
    return Target.parse(SPACE, "nowhere", "all", models=trained)


def served(target: Target) -> str | None:
    pointer = read_pointer(target, SERVING)
    return pointer.model if pointer else None


def test_going_back_goes_the_way_that_one_came(target: Target) -> None:
    for name in ("a", "b", "c"):
        set_pointer(target, SERVING, name, f"{name} is better")
    seen = []
    for _ in range(2):
        go_back(target, None)
        seen.append(served(target))
    assert seen == ["b", "a"]
    with pytest.raises(LatticeError, match="No model served before"):
        go_back(target, None)
    set_pointer(target, SERVING, "c", "again")
    go_back(target, "not so good")
    assert served(target) == "a"
    pointer = read_pointer(target, SERVING)
    assert pointer is not None
    assert [entry.model for entry in pointer.history] == ["a", "b", "c", "b", "a", "c", "a"]
    assert [entry.reason for entry in pointer.history][2:4] == ["c is better", "back from c"]
    times = [entry.time for entry in pointer.history]
    assert times == sorted(times)


def test_the_same_model_again_is_no_change(target: Target) -> None:
    for _ in range(2):
        set_latest(target, "test", "a")
    pointer = read_pointer(target, "latest-test")
    assert pointer is not None and len(pointer.history) == 1
    assert find_model(target, "test", None).name == "a"


def test_nothing_but_the_pointer_is_left(target: Target) -> None:
    set_pointer(target, SERVING, "a", "first")
    assert {path.name for path in target.models.iterdir()} == {"a", "b", "c", "serving.json"}


def command(trained: Path, *arguments: str) -> dict[str, object]:
    options = ["models", "--space", SPACE, "--models", str(trained), "--json", *arguments]
    result = CliRunner().invoke(application("models"), options, catch_exceptions=False)
    found: dict[str, object] = json.loads(result.stdout)
    return found


def test_the_command_lists_serves_and_goes_back(target: Target, trained: Path) -> None:
    assert command(trained)["serving"] is None
    assert command(trained, "--serve", "b")["serving"] == "b"
    found = command(trained, "--serve", "a", "--reason", "a try")
    models = found["models"]
    assert isinstance(models, list)
    assert [(row["model"], row["serving"]) for row in models] == [("c", False), ("b", False), ("a", True)]
    assert all(row["rows"] == 128 and row["network"] == "lattice" for row in models)
    history = command(trained, "--back")["history"]
    assert isinstance(history, list)
    assert [(entry["model"], entry["reason"]) for entry in history] == [
        ("b", "by hand"), ("a", "a try"), ("b", "back from a"),
    ]  # fmt: skip
    plain = CliRunner().invoke(application("models"), ["models", "--space", SPACE, "--models", str(trained)])
    assert "serves" in plain.stdout and "a try" in plain.stdout


def test_a_model_that_is_not_there_does_not_serve(target: Target, trained: Path) -> None:
    with pytest.raises(LatticeError, match="no finished model here"):
        command(trained, "--serve", "d")
    assert served(target) is None
    with pytest.raises(LatticeError, match="contradict"):
        command(trained, "--serve", "a", "--back")


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"model": 3}'])
def test_a_damaged_pointer_is_one_message(target: Target, content: str) -> None:
    (target.models / "serving.json").write_text(content)
    with pytest.raises(LatticeError, match="does not name a model"):
        read_pointer(target, SERVING)


def test_a_pointer_without_history_is_read(target: Target) -> None:
    (target.models / "latest-test.json").write_text('{"model": "b"}')
    assert find_model(target, "test", None).name == "b"
    set_latest(target, "test", "c")
    pointer = read_pointer(target, "latest-test")
    assert pointer is not None and pointer.before == "b"
