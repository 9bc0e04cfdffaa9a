"""The state of a run of several processes, by torch.distributed.checkpoint, in files of safetensors.

Every process writes the parts that it holds, and a state is read by as many processes or others. Nothing in it is
executed when it is read. A state is a folder, complete once ``about.json`` lies in it.
"""

import hashlib
import json
import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.distributed.checkpoint as dcp
from rich.console import Console
from safetensors import SafetensorError
from torch import Tensor
from torch.distributed.checkpoint.metadata import TensorStorageMetadata
from torch.distributed.tensor import DTensor
from torchrec.distributed.model_parallel import DistributedModelParallel
from torchrec.distributed.types import ShardedTensor

from lattice_model.training.distributed.group import Group
from lattice_model.training.distributed.sharding import table_sums
from lattice_model.training.encoding import Tree, decoded, encoded
from lattice_model.training.run import Run
from schemas.errors import LatticeError

_ABOUT = "about.json"
_SHARDED = (DTensor, ShardedTensor)
"""Each process holds a part of such a tensor."""
_BEST, _RANDOM, _TABLES = "best/", "random/", "tables/"
"""Keys of what is not every process's: the best weights, which the first holds; each one's random state; and that of
the tables' optimizer, which is where the rows are.
"""


class ShardedSaver:
    """Keeps the last state of the run that ``owner`` (part -> what it is) describes, as ``Saver`` does for one process.

    All processes call its methods together.
    """

    def __init__(self, folder: Path, owner: Mapping[str, str], every: float, group: Group) -> None:
        self._folder = folder
        self._owner = {part: hashlib.sha256(text.encode()).hexdigest() for part, text in owner.items()}
        self._every = every
        self._group = group
        self._saved = time.monotonic()

    def restore(self, run: Run, console: Console) -> bool:
        """Let the run go on from the state, if there is one; one of another run is left out, and that is said.

        With as many processes as before the random draws go on too.

        Raises:
            LatticeError: it is damaged.
        """
        place = self._group.first_s(self._last())
        if place is None:
            return False
        try:
            about = json.loads((place / _ABOUT).read_text(encoding="utf-8"))
            changed = [part for part, value in self._owner.items() if about["owner"].get(part) != value]
            if changed:
                console.print(f"train: the state of a run of another {', '.join(changed)} is left out: {place}")
                return False
            self._check(place, about["sha256"])
            state = self._load(place, about, run)
        except (OSError, SafetensorError, KeyError, ValueError, dcp.CheckpointException) as error:
            raise LatticeError(
                str(place),
                f"The saved state of the run is damaged: {_reason(error)}.",
                "Delete this folder to begin the run anew.",
            ) from error
        epoch, batch = state["position"]
        console.print(
            f"train: goes on after step {state['recorder']['step']} (epoch {epoch + 1}, batch {batch}), saved by "
            f"{about['ranks']} processes"
        )
        run.restore(state)
        return True

    def save_if_due(self, run: Run) -> None:
        """Save the run's state if the last one is old enough, by the first process's clock."""
        if self._group.first_s(time.monotonic() - self._saved >= self._every):
            with run.recorder.saving():
                self._save(run)
            self._saved = time.monotonic()

    def remove(self) -> None:
        """Forget the state: the run is finished."""
        if self._group.first:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _save(self, run: Run) -> None:
        place = self._folder / f"{run.recorder.step:09}"
        if self._group.first:
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir(parents=True)
        self._group.first_s(None)
        tensors, tree = self._flat(run)
        try:
            dcp.save(tensors, storage_writer=dcp.HuggingFaceStorageWriter(str(place), save_distributed=True))
            sums = self._group.gathered({path.name: _sha256(path) for path in self._own(place)})
            if sums is not None:
                about = {
                    "owner": self._owner,
                    "ranks": self._group.ranks,
                    "tree": tree,
                    "sha256": {name: value for part in sums for name, value in part.items()},
                }
                unfinished = place / f".{_ABOUT}"
                unfinished.write_text(json.dumps(about), encoding="utf-8")
                unfinished.replace(place / _ABOUT)
                for other in self._folder.iterdir():
                    if other != place:
                        shutil.rmtree(other, ignore_errors=True)
        except (OSError, dcp.CheckpointException) as error:
            raise LatticeError(
                str(place),
                f"The state of the run cannot be saved: {_reason(error)}.",
                "Make room, then run the same command again: it goes on from the state before.",
            ) from error

    def _last(self) -> Path | None:
        """The newest complete state."""
        return max((path.parent for path in self._folder.glob(f"*/{_ABOUT}")), default=None)

    def _own(self, place: Path) -> list[Path]:
        """The files that this process answers for."""
        return sorted(place.glob("*.safetensors"))[self._group.rank :: self._group.ranks]

    def _check(self, place: Path, sums: Mapping[str, str]) -> None:
        found = {path.name: _sha256(path) for path in self._own(place)}
        wrong = [name for name, value in found.items() if sums.get(name) != value]
        everywhere = self._group.gathered((wrong, list(found)))
        names = {name for _, part in everywhere or [] for name in part}
        bad = [name for part, _ in everywhere or [] for name in part] + sorted(set(sums) - names)
        if bad := self._group.first_s(bad):
            raise ValueError(f"{', '.join(bad)} was changed or is missing")

    def _flat(self, run: Run) -> tuple[dict[str, Tensor], Any]:
        """Tensors by key, and the rest as JSON that names them."""
        state = run.state()
        tensors: dict[str, Tensor] = {}
        for number, value in enumerate(state.pop("random")):
            tensors[f"{_RANDOM}{self._group.rank}/{number}"] = value
        if state["stopper"]:
            tensors |= {_BEST + name: value for name, value in state["stopper"].pop("weights").items()}
        tensors |= self._tables(run)
        tree = encoded(state, tensors, _SHARDED)
        return {key: value if value.ndim else value.view(1) for key, value in tensors.items()}, tree

    def _tables(self, run: Run) -> dict[str, Tensor]:
        if not isinstance(run.network, DistributedModelParallel):
            return {}
        return {_TABLES + name: value for name, value in table_sums(run.network).items()}

    def _load(self, place: Path, about: Mapping[str, Any], run: Run) -> Tree:
        """The state, with sharded tensors as they lie in the run, into which they were read."""
        reader = dcp.HuggingFaceStorageReader(str(place))
        stored = reader.read_metadata().state_dict_metadata
        live = self._tables(run)
        encoded({"weights": run.network.state_dict(), "step": run.step.state()}, live, _SHARDED)
        own = f"{_RANDOM}{self._group.rank}/"
        wanted = {
            key: value
            for key, value in stored.items()
            if not key.startswith((_BEST, _RANDOM, _TABLES))
            or (key.startswith(_TABLES) and key in live)
            or (key.startswith(_BEST) and self._group.first)
            or (key.startswith(own) and about["ranks"] == self._group.ranks)
        }
        read = {
            key: live[key]
            if isinstance(live.get(key), _SHARDED)
            else torch.empty(value.size, dtype=value.properties.dtype)
            for key, value in wanted.items()
            if isinstance(value, TensorStorageMetadata)
        }
        dcp.load(read, storage_reader=reader)
        state = decoded(about["tree"], read)
        state["random"] = [read[key] for key in sorted(read) if key.startswith(own)] or None
        if state["stopper"]:
            best = {key: value for key, value in read.items() if key.startswith(_BEST)}
            state["stopper"]["weights"] = {key.removeprefix(_BEST): value for key, value in best.items()}
        return state


def _reason(error: BaseException) -> str:
    """What happened, in the first process to which it did."""
    if isinstance(error, dcp.CheckpointException) and error.failures:
        rank, (inner, _) = next(iter(error.failures.items()))
        return f"{str(inner).splitlines()[0]} (process {rank})"
    return str(error).splitlines()[0]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        os.fsync(file.fileno())
        return hashlib.file_digest(file, "sha256").hexdigest()
