"""Training the serving model on, and letting the result serve if its gates pass: the part of ``lattice train`` for
every night.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path

from rich.console import Console

from jobs.model_config import ModelConfig
from jobs.models import (
    SERVING,
    available_until,
    current_manifest,
    find_model,
    model_folder,
    pinned_files,
    read_pointer,
    set_latest,
    set_pointer,
)
from jobs.software import software
from jobs.target import Target, fingerprint
from lattice_model.evaluation.heads import HeadSums, add_up, by_objective, head_sums
from lattice_model.loader import Loader, Selection
from lattice_model.models import name_of
from lattice_model.network.inputs import inputs_from
from lattice_model.training.checkpoint import Checkpoint, load
from lattice_model.training.config import TrainingConfig
from lattice_model.training.distributed.group import ALONE, Group
from lattice_model.training.gates import Gates, failures
from lattice_model.training.trainer import CHECKPOINT, LOG
from lattice_model.training.trainer import train as run_training
from schemas.errors import LatticeError
from schemas.manifest import TrainingManifest

GATES = "gates.json"
_JUDGING_BATCH = 8192
console = Console(stderr=True)


def continue_model(target: Target, config: Path | None, group: Group = ALONE) -> Path:
    """Train the serving model on the rows that became available since, and let the new one serve; return its folder.

    The freshest rows are kept apart: both models are judged on them, and the next night trains on them.

    Raises:
        LatticeError: none serves, its settings or features are others now, or the new one fails its gates.
    """
    console.quiet = not group.first
    pointer = read_pointer(target, SERVING)
    if pointer is None:
        raise LatticeError(
            str(target.models),
            "No model serves yet, so there is none to go on with.",
            "Train one with `lattice train`, then let it serve with `lattice models --serve NAME`.",
        )
    parent = find_model(target, "test", pointer.model)
    before, manifest = load(parent / CHECKPOINT), current_manifest(target)
    training, gates = _settings(before, manifest, config)
    end = available_until(target, manifest.cuts[before.split])
    cut = end - timedelta(hours=gates.hours)
    if cut <= before.trained_before:
        console.print(f"train: {parent.name} has learned from all rows but the freshest; nothing to go on with")
        return parent
    made_by = software()
    about = (made_by.code, manifest.fingerprint, training.model_dump_json(), parent.name, cut.isoformat())
    folder = model_folder(target, fingerprint(*about)[:12])
    if not group.first_s((folder / LOG).is_file()):
        span = f"from {before.trained_before:%Y-%m-%d %H:%M} to {cut:%Y-%m-%d %H:%M %Z}"
        console.print(f"train: model {folder.name} goes on from {parent.name} on rows available {span}")
        run_training(
            config=training,
            network_config=before.network.config,
            batches=Loader(
                pinned_files(manifest.tables["training"]),
                manifest,
                batch_size=training.batch_size,
                seed=training.seed,
                held=training.shuffle_rows,
                selection=Selection(available_from=before.trained_before, available_before=cut),
                share=group.share,
            ),
            manifest=manifest,
            split=before.split,
            folder=folder,
            device=group.device,
            console=console,
            software=made_by,
            cut=cut,
            continued=parent,
            group=group,
        )
    if group.first:
        set_latest(target, before.split, folder.name)
        _publish(target, parent, folder, manifest, gates, Selection(available_from=cut, available_before=end))
    return folder


def _settings(before: Checkpoint, manifest: TrainingManifest, config: Path | None) -> tuple[TrainingConfig, Gates]:
    """Those of the file, or of the run before; its early stopping is left to the gates."""
    hyper = before.network.config.hyper
    asked = ModelConfig.read(config, name_of(hyper)) if config else None
    if asked is not None and asked.network != hyper:
        raise LatticeError(
            f"{config}, network",
            "These are not the settings that the serving model was built with.",
            "Leave them out, or train a new model without --continue.",
        )
    training = asked.training if asked else before.training
    if training.optimizer != before.training.optimizer:
        raise LatticeError(
            f"{config}, training.optimizer",
            f"The serving model was trained by {before.training.optimizer}, whose state the run goes on with.",
            "Keep it, or train a new model without --continue.",
        )
    own, found = before.network.config.inputs, inputs_from(manifest, before.split)
    if own.model_copy(update={"normalisers": {}}) != found.model_copy(update={"normalisers": {}}):
        raise LatticeError(
            f"the manifest of {manifest.space}/{manifest.group}",
            "Its features, domains or objectives are not those of the serving model.",
            "Train a new model without --continue.",
        )
    return training.model_copy(update={"early_stopping": None}), asked.gates if asked else Gates()


def _publish(
    target: Target, parent: Path, folder: Path, manifest: TrainingManifest, gates: Gates, freshest: Selection
) -> None:
    judges = Loader(
        pinned_files(manifest.tables["training"]),
        manifest,
        batch_size=_JUDGING_BATCH,
        shuffle=False,
        selection=freshest,
    )
    objectives = [name for name, _ in manifest.heads()]
    before, after = (
        by_objective(objectives, head_sums(load(model / CHECKPOINT).network, judges.epoch(), ALONE.device))
        for model in (parent, folder)
    )
    failed = failures(gates, before, after)
    verdict = {
        "against": parent.name,
        "rows": judges.rows,
        "freshest": str(freshest),
        "gates": gates.model_dump(),
        "before": _told(before),
        "after": _told(after),
        "failed": failed,
    }
    (folder / GATES).write_text(json.dumps(verdict, indent=2) + "\n", encoding="utf-8")
    if failed:
        raise LatticeError(
            f"the gates of model {folder.name}",
            f"On {judges.rows:,} rows {freshest}, {'; '.join(failed)}.",
            f"{parent.name} goes on serving. `lattice models --serve {folder.name}` serves the new one all the same.",
        )
    old, new = (add_up(sums.values()).normalized_entropy for sums in (before, after))
    set_pointer(target, SERVING, folder.name, f"gates passed: NE {new:.4f}, {parent.name} {old:.4f}")
    console.print(f"train: model {folder.name} serves now (NE {new:.4f}, before {old:.4f}, on {judges.rows:,} rows)")


def _told(sums: Mapping[str, HeadSums]) -> dict[str, dict[str, float | None]]:
    return {
        name: {**asdict(part), "normalized_entropy": part.normalized_entropy, "calibration": part.calibration}
        for name, part in sums.items()
    }
