"""A run in progress: what changes from step to step, saved now and then, and gone on from."""

import hashlib
import time
from collections.abc import Mapping
from pathlib import Path

import torch
from rich.console import Console
from torch import nn

from lattice_model.training.early_stopping import Stopper
from lattice_model.training.encoding import Tree
from lattice_model.training.recorder import Recorder
from lattice_model.training.state import read_state, write_state
from lattice_model.training.step import Step


class Run:
    """The parts of a run that have a state, and where it stands in the data."""

    def __init__(
        self, *, network: nn.Module, step: Step, recorder: Recorder, stopper: Stopper | None, device: torch.device
    ) -> None:
        self.epoch = 0
        """Under way, from 0."""
        self.batch = 0
        """How many batches of the epoch were trained on."""
        self.network = network
        self.step = step
        self.recorder = recorder
        self.stopper = stopper
        self._device = device

    def state(self) -> Tree:
        """Everything that the steps to come depend on; between two steps."""
        return {
            "position": [self.epoch, self.batch],
            "weights": self.network.state_dict(),
            "step": self.step.state(),
            "recorder": self.recorder.state(),
            "stopper": self.stopper.state() if self.stopper else None,
            "random": [torch.get_rng_state(), *self._cuda_random()],
        }

    def restore(self, state: Tree) -> None:
        """Go on from where ``state`` was asked for; the recorder's context is not entered yet."""
        self.epoch, self.batch = state["position"]
        self.network.load_state_dict(state["weights"])
        self.step.restore(state["step"])
        self.recorder.restore(state["recorder"])
        if self.stopper:
            self.stopper.restore(state["stopper"])
        if state["random"] is None:  # of other processes than these
            return
        cpu, *cuda = state["random"]
        torch.set_rng_state(cpu)
        for random in cuda:
            torch.cuda.set_rng_state(random, self._device)

    def _cuda_random(self) -> list[torch.Tensor]:
        return [torch.cuda.get_rng_state(self._device)] if self._device.type == "cuda" else []


class Saver:
    """Keeps the last state of the run that ``owner`` describes (part -> what it is) in a file."""

    def __init__(self, path: Path, owner: Mapping[str, str], every: float) -> None:
        self._path = path
        self._owner = {part: hashlib.sha256(text.encode()).hexdigest() for part, text in owner.items()}
        self._every = every
        self._saved = time.monotonic()

    def restore(self, run: Run, console: Console) -> bool:
        """Let the run go on from the state, if there is one; whether there was."""
        state = self.find(console)
        if state is not None:
            run.restore(state)
        return state is not None

    def find(self, console: Console) -> Tree | None:
        """The state to go on from, if there is one; one of another run is left out, and that is said.

        Raises:
            LatticeError: it is damaged.
        """
        found = read_state(self._path)
        if found is None:
            return None
        owner, state = found
        changed = [part for part, value in self._owner.items() if owner.get(part) != value]
        if changed:
            console.print(f"train: the state of a run of another {', '.join(changed)} is left out: {self._path}")
            return None
        epoch, batch = state["position"]
        console.print(f"train: goes on after step {state['recorder']['step']} (epoch {epoch + 1}, batch {batch})")
        return state

    def save_if_due(self, run: Run) -> None:
        """Save the run's state if the last one is old enough."""
        if time.monotonic() - self._saved >= self._every:
            with run.recorder.saving():
                write_state(self._path, self._owner, run.state())
            self._saved = time.monotonic()

    def remove(self) -> None:
        """Forget the state: the run is finished."""
        self._path.unlink(missing_ok=True)
