"""Two processes do what one does; states go from one to two and back; a lost process ends the run.

Tolerances: losses to 1e-5 and weights to 1e-4 (relative, and 1e-5 beside), after 8 steps; sums over rows are added in
another order. SOAP amplifies that: losses to 1e-3, as in one process that adds in another order; and so does rounding
to BF16 and FP8, of which a sum on the edge falls to another side. Runs with dropout draw other units, and are compared
with themselves alone.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import torch
from rich.console import Console
from torch import Tensor

from lattice_model.loader import Loader
from lattice_model.training.checkpoint import load
from lattice_model.training.config import TrainingConfig
from lattice_model.training.distributed.group import Group
from lattice_model.training.distributed.refusals import refuse
from lattice_model.training.log import TrainingLog
from lattice_model.training.state import read_state
from lattice_model.training.trainer import CHECKPOINT, LOG, OPTIMIZERS, SCALARS, SHARDED_STATE, train
from schemas.errors import LatticeError
from tests.lattice_model.training.distributed.worker import PLAIN, config, run
from tests.lattice_model.training.runs import MANIFEST, network

ROUNDED = {"bf16": "sharded", "formats": "untied"}
"""By run, the one that is the same in float32."""
EQUAL = ("replicated", "sharded", "clippy", "soap", "untied", *ROUNDED)
BY_LOSSES = ("soap", "to-two", *ROUNDED)


def torchrun(folder: Path, ranks: int, *names: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(ranks)]
    command += ["-m", "tests.lattice_model.training.distributed.worker", str(folder), *names]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})


def finished(process: subprocess.Popen[str]) -> str:
    said = process.communicate(timeout=300)[1]
    assert process.returncode == 0, said[-3000:]
    return said


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What two processes left, then one, then two again."""
    place = tmp_path_factory.mktemp("distributed")
    for name in (*EQUAL, "to-one", "to-two", "killed"):
        run(place, name)
    said = finished(torchrun(place, 2, *EQUAL, "dropped", "dropped-resumed:killed", "dropped-resumed", "to-one:killed"))
    said += finished(torchrun(place, 1, "to-one", "to-two:killed"))
    said += kill_one(place)
    said += finished(torchrun(place, 2, "to-two", "killed", "continued"))
    (place / "said").write_text(said)
    yield place


def kill_one(place: Path) -> str:
    """End one of two processes with SIGKILL once they have saved a state; what the others said."""
    process = torchrun(place, 2, "killed")
    while not list((place / "killed" / SHARDED_STATE).glob("*/about.json")):
        assert process.poll() is None, process.stderr and process.stderr.read()
        time.sleep(0.05)
    workers = psutil.Process(process.pid).children()
    victim = next(part for part in workers if part.environ().get("RANK") == "1")
    victim.send_signal(signal.SIGKILL)
    said = process.communicate(timeout=60)[1]
    assert process.returncode != 0
    (place / "killed" / "last words").write_text(said)
    return said


def weights(folder: Path) -> dict[str, Tensor]:
    return load(folder / CHECKPOINT).network.state_dict()


def close(first: Path, second: Path, *, losses_alone: bool = False) -> None:
    """Losses, validation and weights of two runs, to the tolerance above; ``losses_alone`` to 1e-3."""
    logs = [TrainingLog.read(place / LOG) for place in (first, second)]
    assert (logs[0].steps, logs[0].rows) == (logs[1].steps, logs[1].rows)
    losses = [[point.loss for point in log.curve] for log in logs]
    assert losses[1] == pytest.approx(losses[0], rel=1e-3 if losses_alone else 1e-5)
    if losses_alone:
        return
    heads = [[point.head_losses for point in log.curve] for log in logs]
    assert all(a == pytest.approx(b, rel=1e-4) for a, b in zip(*heads, strict=True))
    assert [point.step for point in logs[0].validation] == [point.step for point in logs[1].validation]
    for a, b in zip(logs[0].validation, logs[1].validation, strict=True):
        assert (b.normalized_entropy, b.auc) == pytest.approx((a.normalized_entropy, a.auc), rel=1e-4)
        assert a.best == b.best
    found = [weights(place) for place in (first, second)]
    assert found[0].keys() == found[1].keys()
    for name, value in found[0].items():
        torch.testing.assert_close({name: found[1][name]}, {name: value}, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", EQUAL)
def test_two_processes_train_the_model_that_one_does(folder: Path, name: str) -> None:
    close(folder / f"{name}-alone", folder / name, losses_alone=name in BY_LOSSES)
    assert TrainingLog.read(folder / name / LOG).processes == 2


@pytest.mark.parametrize("name", ROUNDED)
def test_every_process_rounds_to_the_formats_asked_for(folder: Path, name: str) -> None:
    """Where both are sharded by the same plan, only the formats can make the difference."""
    rounded, exact = (TrainingLog.read(folder / run / LOG).curve for run in (name, ROUNDED[name]))
    apart = [abs(a.loss / b.loss - 1) for a, b in zip(rounded, exact, strict=True)]
    assert 1e-5 < max(apart) < 0.05


def test_soap_amplifies_rounding_in_one_process_too(folder: Path, tmp_path: Path) -> None:
    """The same batches, whole or as two halves: what is added in another order is all that differs.

    The first gradients fill few of the directions that it scales alike; what they have of the others is rounding.
    """
    files = sorted(str(path) for path in (folder / "table").glob("*.parquet"))
    settings = config({"optimizer": "soap", "precondition_every": 3})
    for size, batches in ((64, 1), (32, 2)):
        train(
            config=settings.model_copy(update={"batch_size": size, "accumulate": batches, "steps": 7}),
            network_config=PLAIN,
            batches=Loader(files, MANIFEST, batch_size=size, shuffle=False),
            manifest=MANIFEST,
            split="validation",
            folder=tmp_path / str(size),
            console=Console(quiet=True),
        )
    close(tmp_path / "64", tmp_path / "32", losses_alone=True)
    found = [weights(tmp_path / str(size)) for size in (64, 32)]
    assert max((found[0][name] - found[1][name]).abs().max().item() for name in found[0]) > 1e-3


def test_dense_parts_and_tables_are_sharded(folder: Path) -> None:
    said = (folder / "said").read_text()
    assert "train: 2 processes; tables:" in said and "row_wise" in said
    assert "; 0 dense parameters sharded" in said
    assert any("dense parameters sharded" in line and "; 0 dense" not in line for line in said.splitlines())


def test_optimizers_are_left_as_one_process_leaves_them(folder: Path) -> None:
    for name in ("sharded", "soap"):
        states = []
        for place in (folder / f"{name}-alone", folder / name):
            found = read_state(place / OPTIMIZERS)
            assert found is not None
            states.append(found[1]["optimizers"])
        assert len(states[0]) == len(states[1])
        for alone, shared in zip(*states, strict=True):
            assert alone["state"].keys() == shared["state"].keys()
            for number, entry in alone["state"].items():
                assert entry.keys() == shared["state"][number].keys()
                for key, value in entry.items():
                    if isinstance(value, Tensor) and name != "soap":
                        torch.testing.assert_close(shared["state"][number][key], value, rtol=1e-3, atol=1e-5)


def test_a_sharded_run_goes_on_from_what_one_process_published(folder: Path) -> None:
    """Beginning with its weights: the first loss is below that of a fresh network."""
    fresh, more = (TrainingLog.read(folder / name / LOG) for name in ("replicated", "continued"))
    assert more.continued == "replicated-alone"
    assert more.curve[0].loss < fresh.curve[0].loss


def test_as_many_processes_go_on_bit_for_bit(folder: Path) -> None:
    """With dropout, whose draws go on too."""
    first, second = weights(folder / "dropped"), weights(folder / "dropped-resumed")
    assert all(torch.equal(first[name], second[name]) for name in first)
    logs = [TrainingLog.read(folder / name / LOG) for name in ("dropped", "dropped-resumed")]
    assert [point.loss for point in logs[0].curve] == [point.loss for point in logs[1].curve]
    assert not (folder / "dropped" / SHARDED_STATE).exists()


@pytest.mark.parametrize("name", ["to-one", "to-two"])
def test_a_state_is_read_by_another_number_of_processes(folder: Path, name: str) -> None:
    close(folder / f"{name}-alone", folder / name, losses_alone=name in BY_LOSSES)
    assert "goes on after step 7" in (folder / "said").read_text()
    assert TrainingLog.read(folder / name / LOG).processes == (1 if name == "to-one" else 2)


def test_a_killed_process_ends_the_run_with_a_message(folder: Path) -> None:
    """And the same command goes on from the last state."""
    said = (folder / "killed" / "last words").read_text()
    assert "error: training, process 0 of 2" in said
    assert "the same command, with as many processes or others, goes on from the last state" in said
    close(folder / "killed-alone", folder / "killed")


def test_only_the_first_process_writes(folder: Path) -> None:
    assert len(list((folder / "replicated" / SCALARS).iterdir())) == 1
    assert {path.name for path in (folder / "replicated").iterdir()} == {CHECKPOINT, LOG, SCALARS, OPTIMIZERS}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"metabalance": "buy"}, "own gradient"),
        ({"accumulate": 2}, "a step has one"),
        ({"correlation_weight": 0.1}, "no sum over the shares"),
        ({"compile": True}, "compiler"),
        ({"batch_size": 1}, "does not give each of 2"),
        ({"optimizer": "shampoo", "shard_from": 1}, "whole matrices"),
    ],
)
def test_what_cannot_be_combined_is_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(LatticeError, match=message):
        refuse(config(settings), network(), Group(rank=0, ranks=2, distributed=True))
    refuse(TrainingConfig(optimizer="soap", shard_from=None), network(), Group(rank=0, ranks=2, distributed=True))
