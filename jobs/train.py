"""``lattice train``: a Lattice Network, or a baseline, on a group's training table."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from jobs import options
from jobs.continuing import continue_model
from jobs.model_config import ModelConfig
from jobs.models import available_until, current_manifest, model_folder, pinned_files, set_latest
from jobs.software import software
from jobs.target import Target, fingerprint
from lattice_model.evaluation.predictions import KEYS
from lattice_model.loader import Loader, Selection
from lattice_model.models import configure
from lattice_model.training.distributed.group import ALONE, Group, connected
from lattice_model.training.log import TrainingLog
from lattice_model.training.trainer import LOG
from lattice_model.training.trainer import train as run_training
from schemas.errors import LatticeError
from schemas.manifest import Split

_VALIDATION_BATCH = 8192
console = Console(stderr=True)


def train_model(target: Target, split: Split, config: ModelConfig[Any], group: Group = ALONE) -> Path:
    """Train on the rows available before the split's cut, unless that very model is there; return its folder."""
    console.quiet = not group.first
    manifest = current_manifest(target)
    made_by = software()
    settings = config.model_dump_json(exclude={"gates"})
    name = fingerprint(made_by.code, manifest.fingerprint, config.model, settings, split)[:12]
    folder = model_folder(target, name)
    if group.first_s((folder / LOG).is_file()):
        console.print(f"train: skipped, model {name} is finished (same input, code and configuration)")
    else:
        console.print(
            f"train: model {name} ({config.model}) on rows available before {manifest.cuts[split]:%Y-%m-%d %H:%M %Z}"
        )
        batches = Loader(
            pinned_files(manifest.tables["training"]),
            manifest,
            batch_size=config.training.batch_size,
            seed=config.training.seed,
            held=config.training.shuffle_rows,
            selection=Selection(available_before=manifest.cuts[split]),
            share=group.share,
        )
        stopping = config.training.early_stopping
        validation = (
            None
            if stopping is None
            else Loader(
                pinned_files(manifest.tables["evaluation"]),
                manifest,
                batch_size=_VALIDATION_BATCH,
                shuffle=False,
                keys=KEYS,
                selection=Selection(split=stopping.split),
                share=group.share,
            )
        )
        run_training(
            config=config.training,
            network_config=configure(config.network, manifest, split, batches.survey.base_rates()),
            batches=batches,
            manifest=manifest,
            split=split,
            folder=folder,
            device=group.device,
            console=console,
            validation=validation,
            software=made_by,
            cut=available_until(target, manifest.cuts[split]),
            group=group,
        )
    if group.first:
        set_latest(target, split, name)
    return folder


def train(
    space: options.Space = options.DEFAULT_SPACE,
    warehouse: options.Warehouse = options.DEFAULT_WAREHOUSE,
    group: options.Group = options.DEFAULT_GROUP,
    models: options.Models = None,
    split: options.SplitName = options.SplitChoice.test,
    model: options.ModelKind = None,
    config: options.ModelSettings = None,
    on: Annotated[
        bool,
        typer.Option("--continue", help="Train the serving model on what became available since, for its split."),
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Train on the rows whose labels were available before the split begins.

    With --split validation to choose settings, with --split test (the default) to report on the test range. A run that
    was killed goes on from its last state when the same command is given again. Several processes, on one machine or
    many, train one model when torchrun starts them.

    Examples:

      lattice train

      lattice train --split validation --config wider.yaml

      lattice train --model dlrm

      lattice train --continue

      torchrun --nproc-per-node 2 jobs/train.py --config wider.yaml
    """
    target = Target.parse(space, warehouse, group, models=models)
    if on and model is not None:
        raise LatticeError("--model", "--continue takes the model that serves.", "Leave one of them out.")
    with connected() as processes:
        if on:
            folder = continue_model(target, config, processes)
        else:
            folder = train_model(target, split.value, ModelConfig.read(config, model), processes)
    if as_json and processes.first:
        log = TrainingLog.read(folder / LOG)
        print(json.dumps({"model": folder.name, "folder": str(folder), **log.model_dump(mode="json")}, indent=2))


if __name__ == "__main__":
    options.script(train)
