"""Where models lie: one folder a run, named by what it depends on, which is never written again, and pointers: to the
latest one of each split, and to the one that serves.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from jobs.target import Target
from lattice_model.training.checkpoint import read_manifest
from lattice_model.training.trainer import CHECKPOINT, LOG
from pipelines.tables import Published, files, removed, require
from pipelines.warehouse import read_text
from schemas.errors import LatticeError
from schemas.manifest import PinnedTable, Split, TrainingManifest

SERVING = "serving"
METRICS, PREDICTIONS, REPORT = "metrics.json", "predictions.parquet", "report.html"


def current_manifest(target: Target) -> TrainingManifest:
    """The manifest of the published training table."""
    training = require(target.group_table("training"), "lattice build")
    return TrainingManifest.model_validate_json(read_text(target.manifest_uri(training.version)))


def available_until(target: Target, limit: datetime) -> datetime:
    """Up to when (exclusive) the training table holds everything, and no later than the limit."""
    through = require(target.group_table("training"), "lattice build").through
    return limit if through is None else min(through, limit)


def is_repeatable(table: PinnedTable) -> bool:
    """Whether the version that a manifest pins is still what it was: none of its users were forgotten since."""
    removal = removed(table.uri)
    return removal is None or table.version >= removal.version


def check_repeatable(table: PinnedTable) -> None:
    """Raise LatticeError where the version that a manifest pins held users who were forgotten since."""
    removal = removed(table.uri)
    if removal is not None and not is_repeatable(table):
        raise LatticeError(
            f"{table.uri}, version {table.version}",
            f"Users who were in it have been forgotten since (request {removal.request}), so what was made of it "
            "cannot be repeated.",
            "Train anew on the tables as they are now with `lattice train`; a model that is trained serves as before.",
        )


def pinned_files(table: PinnedTable) -> list[str]:
    """The Parquet files of exactly the version that a manifest pins.

    Raises:
        LatticeError: it held users who were forgotten since.
    """
    check_repeatable(table)
    return files(Published(uri=table.uri, version=table.version, fingerprint="", rows=table.rows))


def model_folder(target: Target, name: str) -> Path:
    return target.models / name


class Pointed(BaseModel):
    """That a pointer was set to a model."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    time: datetime
    model: str
    reason: str
    before: str | None
    """The model to which ``--back`` goes."""


class Pointer(BaseModel):
    """Which model is the one, now and before: a file beside the models, replaced whole."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    history: tuple[Pointed, ...] = ()
    """From the first to the last, which is of ``model``."""

    @property
    def before(self) -> str | None:
        return self.history[-1].before if self.history else None


def read_pointer(target: Target, name: str) -> Pointer | None:
    """The pointer of that name (``latest-test``, ``serving``), if it was ever set.

    Raises:
        LatticeError: it is damaged.
    """
    path = target.models / f"{name}.json"
    if not path.is_file():
        return None
    try:
        return Pointer.model_validate_json(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, ValidationError) as error:
        raise LatticeError(
            str(path), "It does not name a model: it is damaged.", "Delete it, then choose a model anew."
        ) from error


def set_pointer(target: Target, name: str, model: str, reason: str, *, back: bool = False) -> None:
    """Point to a model, unless that is done. ``back``: the way back is then what it was when that model came."""
    found = read_pointer(target, name)
    if found is not None and found.model == model:
        return
    history = found.history if found else ()
    before = found.model if found else None
    if back:
        before = next((entry.before for entry in reversed(history) if entry.model == model), None)
    entry = Pointed(time=datetime.now(UTC), model=model, reason=reason, before=before)
    pointer = target.models / f"{name}.json"
    unfinished = pointer.with_suffix(".part")
    unfinished.write_text(
        Pointer(model=model, history=(*history, entry)).model_dump_json(indent=2) + "\n", encoding="utf-8"
    )
    unfinished.replace(pointer)


def set_latest(target: Target, split: Split, name: str) -> None:
    """Point to the model that ``evaluate`` and ``report`` take by default."""
    set_pointer(target, f"latest-{split}", name, "trained")


def finished_models(target: Target) -> list[Path]:
    """The folders of all models whose training is finished, oldest first."""
    return sorted(
        (path.parent for path in target.models.glob(f"*/{LOG}")), key=lambda path: (path / LOG).stat().st_mtime
    )


def find_model(target: Target, split: Split, name: str | None) -> Path:
    """The folder of the named model, or of the latest one of that split.

    Raises:
        LatticeError: there is none.
    """
    if name is None:
        pointer = read_pointer(target, f"latest-{split}")
        if pointer is None:
            raise LatticeError(
                str(target.models), f"There is no model for the split '{split}'.", "Run `lattice train`."
            )
        name = pointer.model
    folder = model_folder(target, name)
    if not (folder / LOG).is_file():
        known = sorted(path.name for path in finished_models(target))
        raise LatticeError(str(folder), "There is no finished model here.", f"Known: {', '.join(known) or 'none'}.")
    return folder


def live_manifests(target: Target) -> dict[str, TrainingManifest]:
    """What the model that serves, and the latest one of each split, were trained on, by the model's name."""
    pointers = (read_pointer(target, name) for name in (*(f"latest-{split}" for split in get_args(Split)), SERVING))
    names = sorted({pointer.model for pointer in pointers if pointer is not None})
    return {name: read_manifest(model_folder(target, name) / CHECKPOINT) for name in names}
