"""The training loop (paper 3.5): what is computed is the network's and the step's business."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import torch
from rich.console import Console
from torch import nn

from lattice_model.loading.rows import Loaded
from lattice_model.models import build, name_of
from lattice_model.network.config import NetworkConfig
from lattice_model.training.checkpoint import Checkpoint, save
from lattice_model.training.config import TrainingConfig
from lattice_model.training.log import TrainingLog, head_name
from lattice_model.training.optimizers import dense_parameters, table_parameters
from lattice_model.training.recorder import Recorder
from lattice_model.training.step import Step
from schemas.errors import LatticeError
from schemas.manifest import Split, TrainingManifest

CHECKPOINT, LOG, SCALARS = "checkpoint", "training.json", "tensorboard"
"""What a run leaves in its folder; the log is written last."""


class BatchSource(Protocol):
    """What a run takes its batches from; ``lattice_model.loader.Loader`` is one."""

    @property
    def steps(self) -> int:
        """Batches of one epoch."""

    def epoch(self, number: int) -> Iterator[Loaded]:
        """The batches of an epoch, from 0: the same for the same number."""


def train(
    *,
    config: TrainingConfig,
    network_config: NetworkConfig[Any],
    batches: BatchSource,
    manifest: TrainingManifest,
    split: Split,
    folder: Path,
    device: torch.device | str = "cpu",
    console: Console | None = None,
) -> TrainingLog:
    """Train a model on rows available before ``manifest.cuts[split]``, and fill ``folder`` as said above.

    The same arguments give the same weights, bit for bit on one CPU with as many threads. Progress goes to
    ``console`` (default: standard error).

    Raises:
        LatticeError: the loss or a gradient stopped being a number, or the folder cannot be written.
    """
    device = torch.device(device)
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    steps = batches.steps * config.epochs
    _make(folder)
    recorder = Recorder(
        folder=folder / SCALARS,
        heads=[head_name(*head) for head in manifest.heads()],
        steps=steps,
        console=console or Console(stderr=True),
    )
    with torch.random.fork_rng(), recorder:
        torch.manual_seed(config.seed)
        network = build(network_config).to(device).train()
        step = Step(network, config, steps, device)
        for epoch in range(config.epochs):
            for loaded in recorder.waiting(batches.epoch(epoch)):
                learning_rate = step.learning_rate
                losses, loss = step(loaded.batch.to(device), recorder.step + 1)
                recorder.add(
                    epoch=epoch + 1, rows=loaded.batch.size, loss=loss, losses=losses, learning_rate=learning_rate
                )
        log = TrainingLog(
            space=manifest.space,
            group=manifest.group,
            network=name_of(network_config.hyper),
            split=split,
            fingerprint=manifest.fingerprint,
            tables=manifest.tables,
            config=config,
            device=str(device),
            dense_parameters=_count(dense_parameters(network)),
            embedding_parameters=_count(table_parameters(network)),
            heads=tuple(head_name(*head) for head in manifest.heads()),
            rows=recorder.rows,
            steps=recorder.step,
            seconds=recorder.seconds,
            rows_per_second=recorder.rows / recorder.seconds,
            waiting_share=recorder.waiting_share,
            curve=tuple(recorder.curve),
        )
    save(folder / CHECKPOINT, Checkpoint(network=network, training=config, manifest=manifest, split=split))
    log.write(folder / LOG)
    return log


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LatticeError(
            str(folder), f"The folder cannot be made: {error.strerror}.", "Give one in a place that can be written."
        ) from error


def _count(parameters: list[nn.Parameter]) -> int:
    return sum(parameter.numel() for parameter in parameters)
