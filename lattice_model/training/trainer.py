"""The training loop (paper 3.5): what is computed is the network's and the losses' business.

Shapes: B impressions, H heads.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import torch
from rich.console import Console
from torch import nn
from torch.nn.utils import clip_grad_norm_
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from lattice_model.batch import Batch
from lattice_model.loading.rows import Loaded
from lattice_model.models import build, name_of
from lattice_model.network.config import NetworkConfig
from lattice_model.network.model import Model
from lattice_model.supervision.masked_bce import HeadLosses, head_targets, masked_bce
from lattice_model.training.checkpoint import Checkpoint, save
from lattice_model.training.config import TrainingConfig
from lattice_model.training.log import TrainingLog, head_name
from lattice_model.training.optimizers import build_optimizers, dense_parameters, table_parameters
from lattice_model.training.recorder import Recorder
from lattice_model.training.schedule import learning_rate_share
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
        step = _Step(network, config, steps, device)
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


class _Step:
    """One update of a network's parameters."""

    def __init__(self, network: Model, config: TrainingConfig, steps: int, device: torch.device) -> None:
        self._heads = network.config.inputs.heads
        self._dense = dense_parameters(network)
        self._config = config
        self._device = device
        self._model: nn.Module = torch.compile(network) if config.compile else network  # type: ignore[assignment]
        self._optimizers: list[Optimizer] = build_optimizers(network, config)
        self._schedules = [
            LambdaLR(optimizer, lambda step: learning_rate_share(step, steps, config)) for optimizer in self._optimizers
        ]

    @property
    def learning_rate(self) -> float:
        """Of the dense parameters, in the step to come."""
        return float(self._schedules[0].get_last_lr()[0])

    def __call__(self, batch: Batch, number: int) -> tuple[HeadLosses, float]:
        """Return the losses, by head and in all, before the update; ``number`` is the step's, for messages."""
        with torch.autocast(self._device.type, dtype=torch.bfloat16, enabled=self._config.bf16):
            logits_BH = self._model(batch)
        targets_BH = head_targets(batch.labels_BO, batch.window_B, self._heads)
        losses = masked_bce(logits_BH, targets_BH, balance=self._config.balance, weight_B=batch.weight_B)
        losses.total.backward()
        norm = clip_grad_norm_(self._dense, self._config.clip_norm)
        loss = losses.total.item()
        if not torch.isfinite(losses.total + norm):
            raise LatticeError(
                f"training, step {number}",
                f"The loss ({loss}) or its gradient ({norm.item()}) is no finite number.",
                "Lower learning_rate or embedding_learning_rate, lengthen warmup, or set bf16 to false.",
            )
        for optimizer, schedule in zip(self._optimizers, self._schedules, strict=True):
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            schedule.step()
        return losses, loss


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LatticeError(
            str(folder), f"The folder cannot be made: {error.strerror}.", "Give one in a place that can be written."
        ) from error


def _count(parameters: list[nn.Parameter]) -> int:
    return sum(parameter.numel() for parameter in parameters)
