"""A run that was killed goes on from its last state as if nothing had happened."""

import random
import signal
import subprocess
import sys
import time
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from lattice_model.training.checkpoint import load
from lattice_model.training.config import TrainingConfig
from lattice_model.training.log import TrainingLog
from lattice_model.training.run import Run, Saver
from lattice_model.training.state import write_state
from lattice_model.training.trainer import CHECKPOINT, LOG, STATE
from schemas.errors import LatticeError
from tests.lattice_model.training.resumed import run_from_files
from tests.lattice_model.training.runs import CONFIG, run

EVERY_STEP = CONFIG.model_copy(update={"save_every": 0.0})
SETTINGS: dict[str, dict[str, Any]] = {
    "adamw": {},
    "soap": {"optimizer": "soap", "precondition_every": 3},
    "shampoo": {"optimizer": "shampoo", "precondition_every": 3},
    "metabalance": {"metabalance": "buy", "correlation_weight": 0.1, "clipping": "clippy"},
    "accumulated": {"accumulate": 3},
    "stopped early": {"early_stopping": {"every": 4, "patience": 2}, "learning_rate": 0.05},
}


class Killed(Exception):
    """In place of a kill, where a test needs to know the step."""


def settings(name: str) -> TrainingConfig:
    return TrainingConfig.model_validate({**EVERY_STEP.model_dump(), **SETTINGS[name]})


def stop_after(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Kill the run in this process before it saves the state of a later step."""
    save = Saver.save_if_due

    def killed(saver: Saver, run: Run) -> None:
        if run.recorder.step > step:
            raise Killed
        save(saver, run)

    monkeypatch.setattr(Saver, "save_if_due", killed)


def same_run(first: Path, second: Path) -> None:
    """Weights bit for bit, and everything in the logs but times."""
    logs = [TrainingLog.read(folder / LOG) for folder in (first, second)]
    times = {"seconds", "rows_per_second", "waiting_share", "saving_share", "curve"}
    assert logs[0].model_dump(exclude=times) == logs[1].model_dump(exclude=times)
    curves = [[point.model_dump(exclude={"rows_per_second"}) for point in log.curve] for log in logs]
    assert curves[0] == curves[1]
    weights = [load(folder / CHECKPOINT).network.state_dict() for folder in (first, second)]
    assert weights[0].keys() == weights[1].keys()
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


@pytest.mark.parametrize("name", SETTINGS)
def test_a_run_stopped_anywhere_ends_with_the_same_weights_and_losses(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the first step, about the end of the first epoch, and before the last step."""
    config = settings(name)
    whole = run_from_files(tmp_path / "whole", config)
    for step in (1, whole.steps // 2, whole.steps - 1):
        folder = tmp_path / str(step)
        with monkeypatch.context() as patch, pytest.raises(Killed):
            stop_after(patch, step)
            run_from_files(folder, config)
        assert (folder / STATE).exists() and not (folder / LOG).exists()
        run_from_files(folder, config)
        same_run(tmp_path / "whole", folder)
        assert not (folder / STATE).exists()


def test_a_process_killed_again_and_again_ends_with_the_same_weights_and_losses(tmp_path: Path) -> None:
    """kill -9 at random moments of real processes, started again by the same command until one is left to finish."""
    config = EVERY_STEP.model_copy(update={"epochs": 8, "save_every": 0.02})
    command = [sys.executable, "-m", "tests.lattice_model.training.resumed"]
    arguments = [str(tmp_path / "killed"), config.model_dump_json()]
    run_from_files(tmp_path / "whole", config)
    moments = random.Random(4)
    kills, seen = 0, set()
    while kills < 3:
        process = subprocess.Popen([*command, *arguments], stderr=subprocess.DEVNULL)
        state = tmp_path / "killed" / STATE
        before = state.stat().st_mtime_ns if state.exists() else None
        while process.poll() is None and (not state.exists() or state.stat().st_mtime_ns == before):
            time.sleep(0.005)
        time.sleep(moments.random() * 0.4)
        process.send_signal(signal.SIGKILL)
        if process.wait() != -signal.SIGKILL:
            break
        kills += 1
        seen.add(state.stat().st_mtime_ns)
    assert kills >= 2 and len(seen) == kills
    subprocess.run([*command, *arguments], check=True, stderr=subprocess.DEVNULL)
    same_run(tmp_path / "whole", tmp_path / "killed")


def stopped(folder: Path, monkeypatch: pytest.MonkeyPatch, step: int = 5) -> Path:
    """The state of a small run that was stopped after a step."""
    with monkeypatch.context() as patch, pytest.raises(Killed):
        stop_after(patch, step)
        run(folder, EVERY_STEP)
    return folder / STATE


def test_the_state_of_another_configuration_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stopped(tmp_path / "run", monkeypatch)
    other = EVERY_STEP.model_copy(update={"learning_rate": 1e-3})
    console = Console(record=True, width=500, file=StringIO())
    run(tmp_path / "run", other, console=console)
    assert "of a run of another configuration is left out" in console.export_text()
    run(tmp_path / "fresh", other)
    same_run(tmp_path / "run", tmp_path / "fresh")


@pytest.mark.parametrize("part", ["configuration", "data", "code"])
def test_what_differs_is_told(tmp_path: Path, part: str) -> None:
    owner = {"configuration": "this", "data": "this", "code": "this"}
    path = tmp_path / STATE
    state = {"position": [0, 3], "recorder": {"step": 3}}
    write_state(path, Saver(path, owner, 0.0)._owner, state)
    console = Console(record=True, width=500, file=StringIO())
    assert Saver(path, owner, 0.0).find(console) == state
    assert Saver(path, {**owner, part: "other"}, 0.0).find(console) is None
    assert f"of a run of another {part} is left out: {path}" in console.export_text()


@pytest.mark.parametrize("damage", ["cut", "changed", "empty", "other"])
def test_a_damaged_state_is_one_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str) -> None:
    state = stopped(tmp_path / "run", monkeypatch)
    content = state.read_bytes()
    changed = bytearray(content)
    changed[-5] ^= 1
    contents = {"cut": content[: len(content) // 2], "changed": bytes(changed), "empty": b"", "other": b"{}" * 9}
    state.write_bytes(contents[damage])
    with pytest.raises(LatticeError, match=r"state of the run is damaged") as caught:
        run(tmp_path / "run", EVERY_STEP)
    assert caught.value.place == str(state)
    assert "Delete this file" in caught.value.remedy


def test_nothing_is_left_beside_a_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = stopped(tmp_path / "run", monkeypatch)
    assert sorted(path.name for path in state.parent.iterdir()) == [STATE, "tensorboard"]
