"""Where models lie: one folder a run, named by what it depends on, and a pointer to the latest one of each split."""

import json
from pathlib import Path

from jobs.target import Target
from lattice_model.training.checkpoint import read_manifest
from lattice_model.training.trainer import CHECKPOINT, LOG
from pipelines.tables import Published, files, require
from pipelines.warehouse import read_text
from schemas.errors import LatticeError
from schemas.manifest import PinnedTable, Split, TrainingManifest

METRICS, PREDICTIONS, REPORT = "metrics.json", "predictions.parquet", "report.html"


def current_manifest(target: Target) -> TrainingManifest:
    """The manifest of the published training table."""
    training = require(target.group_table("training"), "lattice build")
    return TrainingManifest.model_validate_json(read_text(target.manifest_uri(training.version)))


def pinned_files(table: PinnedTable) -> list[str]:
    """The Parquet files of exactly the version that a manifest pins."""
    return files(Published(uri=table.uri, version=table.version, fingerprint="", rows=table.rows))


def model_folder(target: Target, name: str) -> Path:
    return target.models / name


def set_latest(target: Target, split: Split, name: str) -> None:
    """Point to the model that ``evaluate`` and ``report`` take by default."""
    pointer = target.models / f"latest-{split}.json"
    unfinished = pointer.with_suffix(".part")
    unfinished.write_text(json.dumps({"model": name}) + "\n", encoding="utf-8")
    unfinished.replace(pointer)


def find_model(target: Target, split: Split, name: str | None) -> Path:
    """The folder of the named model, or of the latest one of that split.

    Raises:
        LatticeError: there is none.
    """
    if name is None:
        pointer = target.models / f"latest-{split}.json"
        if not pointer.is_file():
            raise LatticeError(
                str(target.models), f"There is no model for the split '{split}'.", "Run `lattice train`."
            )
        name = str(json.loads(pointer.read_text(encoding="utf-8"))["model"])
    folder = model_folder(target, name)
    if not (folder / LOG).is_file():
        known = sorted(path.parent.name for path in target.models.glob(f"*/{LOG}"))
        raise LatticeError(str(folder), "There is no finished model here.", f"Known: {', '.join(known) or 'none'}.")
    return folder


def live_manifests(target: Target) -> dict[str, TrainingManifest]:
    """What the latest model of each split was trained on, by the model's name."""
    names = {
        str(json.loads(pointer.read_text(encoding="utf-8"))["model"])
        for pointer in sorted(target.models.glob("latest-*.json"))
    }
    return {name: read_manifest(model_folder(target, name) / CHECKPOINT) for name in sorted(names)}
