"""The training loop (paper 3.5): what is computed is the network's and the step's business."""

import sys
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import torch
from rich.console import Console
from torch import nn
from torchrec.distributed.model_parallel import DistributedModelParallel

from lattice_model.allocation import keep_freed_memory
from lattice_model.loading.rows import Loaded
from lattice_model.models import build, name_of
from lattice_model.network.config import NetworkConfig
from lattice_model.training.checkpoint import Checkpoint, load, save
from lattice_model.training.config import TrainingConfig
from lattice_model.training.distributed.checkpoint import ShardedSaver
from lattice_model.training.distributed.group import ALONE, Group
from lattice_model.training.distributed.published import sharded_state, table_names, whole_state
from lattice_model.training.distributed.refusals import refuse
from lattice_model.training.distributed.sharding import described, shard, whole
from lattice_model.training.early_stopping import Stopper
from lattice_model.training.log import Software, TrainingLog, head_name
from lattice_model.training.optimizers import dense_parameters, table_parameters
from lattice_model.training.precision import apply_precision
from lattice_model.training.recorder import Recorder
from lattice_model.training.run import Run, Saver
from lattice_model.training.state import read_state, write_state
from lattice_model.training.step import Step
from schemas.errors import LatticeError
from schemas.manifest import Split, TrainingManifest

CHECKPOINT, LOG, SCALARS, STATE = "checkpoint", "training.json", "tensorboard", "state.safetensors"
SHARDED_STATE = "state"
OPTIMIZERS = "optimizers.safetensors"
"""What a run leaves in its folder; the log is written last, and the state is there until then."""
_SEEDS = 1_000_003
"""Apart from each other by more than there are processes."""


class BatchSource(Protocol):
    """What a run takes its batches from; ``lattice_model.loader.Loader`` is one."""

    @property
    def steps(self) -> int:
        """Batches of one epoch."""

    def epoch(self, number: int = 0, start: int = 0) -> Generator[Loaded]:
        """The batches of an epoch, from 0, without the first ``start``: the same for the same number.

        In a run of several processes, this one's share of each.
        """


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
    validation: BatchSource | None = None,
    software: Software | None = None,
    cut: datetime | None = None,
    continued: Path | None = None,
    group: Group = ALONE,
) -> TrainingLog:
    """Train a model on rows available before ``manifest.cuts[split]``, and fill ``folder`` as said above.

    The same arguments give the same weights, bit for bit on one CPU with as many threads, also if the run was killed
    and started again: it goes on from its last state. Progress goes to ``console`` (default: standard error).
    ``validation`` are the validation rows with ``lattice_model.evaluation.predictions.KEYS``, for early stopping.
    ``cut`` is said of the rows if it is earlier. The run begins with the weights and the optimizers' state of the
    ``continued`` one, a folder that this has filled.

    The processes of a ``group`` all call this, each with its share of the batches, and the first one writes. They take
    the steps that one process would take, but for the order of additions and for what dropout draws.

    Raises:
        LatticeError: the loss or a gradient stopped being a number, the folder cannot be written, the state is damaged,
            the run would stop on rows that it trains on, or a setting is none for several processes.
    """
    device, software = torch.device(device), software or Software()
    console = (console or Console(stderr=True)) if group.first else Console(quiet=True)
    stopper = _stopper(config, manifest, split, device, group)
    keep_freed_memory()
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    _make(folder)
    steps = min(-(-batches.steps // config.accumulate) * config.epochs, config.steps or sys.maxsize)
    heads = [head_name(*head) for head in manifest.heads()]
    owner = {
        "configuration": config.model_dump_json()
        + network_config.model_dump_json()
        + f"{split} {cut} {continued and continued.name}",
        "data": manifest.model_dump_json(),
        "code": software.model_dump_json(),
        "device": device.type,
    }
    saver: Saver | ShardedSaver
    if group.distributed:
        saver = ShardedSaver(folder / SHARDED_STATE, owner, config.save_every, group)
    else:
        saver = Saver(folder / STATE, owner, config.save_every)
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)
        network = build(network_config).to(device).train()
        sizes = _count(dense_parameters(network)), _count(table_parameters(network))
        tables = table_names(network)
        if config.precision is not None:
            apply_precision(network, config.precision, device)
        sharded = None
        if group.distributed:
            refuse(config, network, group)
            if continued is not None:
                network.load_state_dict(load(continued / CHECKPOINT).network.state_dict())
            sharded = shard(network, config, group)
            console.print(f"train: {group.ranks} processes; {described(sharded)}")
            torch.manual_seed(config.seed * _SEEDS + group.rank)  # each process drops out other units
        run = Run(
            network=network if sharded is None else sharded,
            step=Step(network, config, steps, device, group, sharded),
            recorder=Recorder(
                folder=folder / SCALARS if group.first else None, heads=heads, steps=steps, console=console
            ),
            stopper=stopper,
            device=device,
        )
        if continued is not None:
            _begin_with(run, continued, tables)
        saver.restore(run, console)
        with run.recorder:
            _steps(run, config, steps, batches, validation, saver, group)
            log = TrainingLog(
                space=manifest.space,
                group=manifest.group,
                network=name_of(network_config.hyper),
                split=split,
                cut=cut,
                continued=continued.name if continued else None,
                fingerprint=manifest.fingerprint,
                tables=manifest.tables,
                config=config,
                hyperparameters=network_config.hyper.model_dump(mode="json"),
                software=software,
                device=str(device),
                processes=group.ranks,
                dense_parameters=sizes[0],
                embedding_parameters=sizes[1],
                heads=tuple(heads),
                rows=run.recorder.rows,
                steps=run.recorder.step,
                seconds=run.recorder.seconds,
                rows_per_second=run.recorder.rows / run.recorder.seconds,
                waiting_share=run.recorder.waiting_share,
                saving_share=run.recorder.saving_share,
                curve=tuple(run.recorder.curve),
                validation=tuple(stopper.history) if stopper else (),
            )
    if sharded is not None:
        weights = whole(sharded.state_dict(), group) if stopper is None else stopper.weights
        optimizers = whole_state(run.step.state(), tables, sharded, group)
        if group.first:
            with torch.random.fork_rng():
                network = build(network_config)
            network.load_state_dict(weights)
    else:
        if stopper:
            network.load_state_dict(stopper.weights)
        optimizers = run.step.state()
    if group.first:
        write_state(folder / OPTIMIZERS, {}, optimizers)
        checkpoint = Checkpoint(network=network, training=config, manifest=manifest, split=split, cut=cut)
        save(folder / CHECKPOINT, checkpoint)
        log.write(folder / LOG)
        saver.remove()
    return group.first_s(log)


def _steps(
    run: Run,
    config: TrainingConfig,
    steps: int,
    batches: BatchSource,
    validation: BatchSource | None,
    saver: Saver | ShardedSaver,
    group: Group,
) -> None:
    """Take the steps that are left."""
    recorder, stopper = run.recorder, run.stopper
    while recorder.step < steps and not (stopper and stopper.stops):
        with closing(batches.epoch(run.epoch, run.batch)) as source:
            for parts in _groups(recorder.waiting(source), config.accumulate):
                learning_rate = run.step.learning_rate
                losses, loss = run.step([part.batch for part in parts], recorder.step + 1)
                rows = int(group.sum(torch.tensor(sum(part.rows for part in parts), device=group.device)))
                recorder.add(epoch=run.epoch + 1, rows=rows, loss=loss, losses=losses, learning_rate=learning_rate)
                run.batch += len(parts)
                if stopper and validation and stopper.due(recorder.step, steps):
                    recorder.validated(stopper.evaluate(run.network, validation.epoch(), recorder.step))
                saver.save_if_due(run)
                if recorder.step == steps or (stopper and stopper.stops):
                    return
        run.epoch, run.batch = run.epoch + 1, 0


def _begin_with(run: Run, continued: Path, tables: Sequence[str]) -> None:
    found = read_state(continued / OPTIMIZERS)
    if found is None:
        raise LatticeError(
            str(continued), "It has no state of its optimizers to go on with.", "Train a new model, and serve that."
        )
    state = found[1]
    if isinstance(run.network, DistributedModelParallel):  # whose weights were taken over before they were sharded
        state = sharded_state(state, tables, run.network)
    else:
        run.network.load_state_dict(load(continued / CHECKPOINT).network.state_dict())
    run.step.begin_with(state)


def _groups(batches: Iterator[Loaded], size: int) -> Iterator[list[Loaded]]:
    """So many batches at a time; the last ones may be fewer."""
    while group := list(islice(batches, size)):
        yield group


def _stopper(
    config: TrainingConfig, manifest: TrainingManifest, split: Split, device: torch.device, group: Group
) -> Stopper | None:
    if config.early_stopping is None:
        return None
    if split != config.early_stopping.split:
        raise LatticeError(
            "the training setting early_stopping",
            f"A model for the {split} range trains on the validation rows too, so that they cannot say when to stop.",
            "Train with --split validation; its log names the best step, which `steps` takes for --split test.",
        )
    return Stopper(config.early_stopping, manifest, device, group)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LatticeError(
            str(folder), f"The folder cannot be made: {error.strerror}.", "Give one in a place that can be written."
        ) from error


def _count(parameters: list[nn.Parameter]) -> int:
    return sum(parameter.numel() for parameter in parameters)
