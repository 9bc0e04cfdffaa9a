"""A saved state comes back as it was, is replaced whole, and says when it is another run's or damaged."""

from io import StringIO
from pathlib import Path

import pytest
import torch
from rich.console import Console

from lattice_model.training.distributed.checkpoint import ShardedSaver
from lattice_model.training.distributed.group import ALONE
from lattice_model.training.recorder import Recorder
from lattice_model.training.run import Run
from lattice_model.training.step import Step
from schemas.errors import LatticeError
from tests.lattice_model.factories import make_batch
from tests.lattice_model.training.runs import CONFIG, MANIFEST, NETWORK, network

CPU = torch.device("cpu")
HEADS = [head.objective for head in NETWORK.inputs.heads]


def made(seed: int) -> Run:
    model = network(seed)
    recorder = Recorder(folder=None, heads=HEADS, steps=4, console=Console(quiet=True))
    return Run(network=model, step=Step(model, CONFIG, 4, CPU), recorder=recorder, stopper=None, device=CPU)


def saver(folder: Path, code: str = "this") -> ShardedSaver:
    return ShardedSaver(folder, {"code": code}, 0.0, ALONE)


@pytest.fixture
def saved(tmp_path: Path) -> tuple[Path, Run]:
    """The state after the second of two steps; that after the first is gone."""
    folder, run = tmp_path / "state", made(0)
    with run.recorder:
        for number in (1, 2):
            losses, loss = run.step([make_batch(MANIFEST, 32, number)], number)
            run.recorder.add(epoch=1, rows=32, loss=loss, losses=losses, learning_rate=0.1)
            run.batch += 1
            saver(folder).save_if_due(run)
    assert [path.name for path in folder.iterdir()] == ["000000002"]
    return folder, run


def restored(folder: Path, code: str = "this") -> tuple[Run, bool, str]:
    run, console = made(1), Console(record=True, width=500, file=StringIO())
    return run, saver(folder, code).restore(run, console), console.export_text()


def test_it_goes_on_as_if_nothing_had_happened(saved: tuple[Path, Run]) -> None:
    folder, before = saved
    after, found, said = restored(folder)
    assert found and "goes on after step 2 (epoch 1, batch 2), saved by 1 processes" in said
    for run in (before, after):
        torch.manual_seed(5)  # the states are equal; the draws since then are not
        run.step([make_batch(MANIFEST, 32, 3)], 3)
    weights = [run.network.state_dict() for run in (before, after)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert (after.epoch, after.batch, after.recorder.rows) == (0, 2, 64)


def test_that_of_another_run_is_left_out(saved: tuple[Path, Run]) -> None:
    run, found, said = restored(saved[0], "other")
    assert not found and "of a run of another code is left out" in said
    assert run.recorder.step == 0


def test_one_that_was_not_finished_is_none(saved: tuple[Path, Run]) -> None:
    (saved[0] / "000000002" / "about.json").unlink()
    assert restored(saved[0])[1] is False


@pytest.mark.parametrize("damage", ["changed", "cut", "missing", "about"])
def test_a_damaged_one_is_one_message(saved: tuple[Path, Run], damage: str) -> None:
    (path,) = (saved[0] / "000000002").glob("*.safetensors")
    content = bytearray(path.read_bytes())
    if damage == "changed":
        content[-3] ^= 1
        path.write_bytes(content)
    elif damage == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "missing":
        path.unlink()
    else:
        (path.parent / "about.json").write_text("{")
    with pytest.raises(LatticeError, match="state of the run is damaged") as caught:
        restored(saved[0])
    assert "Delete this folder" in caught.value.remedy and caught.value.place == str(path.parent)
