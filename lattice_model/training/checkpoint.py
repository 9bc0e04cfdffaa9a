"""Checkpoints: a folder with weights (safetensors) and what they belong to (JSON), published whole.

Nothing in it is executed when it is read.
"""

import hashlib
import os
import shutil
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Generic

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from lattice_model.models import find_kind, name_of
from lattice_model.network.config import H, NetworkConfig, SharedHyperparameters
from lattice_model.network.model import Model
from lattice_model.training.config import TrainingConfig
from schemas.errors import LatticeError
from schemas.manifest import Split, TrainingManifest

_WEIGHTS = "weights.safetensors"
_ABOUT = "checkpoint.json"
_REMEDY = "Train again, or give the folder of another checkpoint."


class _Name(BaseModel):
    """What says how the rest is to be read."""

    model: str


class _Trained(BaseModel):
    """What says what it was trained on."""

    manifest: TrainingManifest


class _About(BaseModel, Generic[H]):
    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    """As ``lattice_model.models`` names it."""
    split: Split
    weights_sha256: str
    network: NetworkConfig[H]
    cut: datetime | None = None
    training: TrainingConfig
    manifest: TrainingManifest


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A trained network and what it was trained on: the rows available before ``cut``, or ``manifest.cuts[split]``."""

    network: Model
    training: TrainingConfig
    manifest: TrainingManifest
    split: Split
    cut: datetime | None = None

    @property
    def trained_before(self) -> datetime:
        """Up to when (exclusive) rows became available that it was trained on."""
        return self.cut or self.manifest.cuts[self.split]


def save(folder: Path, checkpoint: Checkpoint) -> None:
    """Write the folder beside its place, then move it there; one of that name is replaced.

    Raises:
        LatticeError: it cannot be written.
    """
    unfinished = folder.with_name(f".{folder.name}.{os.getpid()}.new")
    replaced = folder.with_name(f".{folder.name}.{os.getpid()}.old")
    weights = {name: tensor.cpu().contiguous() for name, tensor in checkpoint.network.state_dict().items()}
    try:
        unfinished.mkdir(parents=True)
        save_file(weights, unfinished / _WEIGHTS)
        config = checkpoint.network.config
        about = _about(type(config.hyper))(
            model=name_of(config.hyper),
            split=checkpoint.split,
            cut=checkpoint.cut,
            weights_sha256=_sha256(unfinished / _WEIGHTS),
            network=config,
            training=checkpoint.training,
            manifest=checkpoint.manifest,
        )
        (unfinished / _ABOUT).write_text(about.model_dump_json(indent=2) + "\n", encoding="utf-8")
        if folder.exists():
            folder.rename(replaced)
        unfinished.rename(folder)
    except OSError as error:
        raise LatticeError(
            str(folder),
            f"The checkpoint cannot be written: {error.strerror or error}.",
            "Give a folder that can be written, with enough room.",
        ) from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
        shutil.rmtree(replaced, ignore_errors=True)


def load(folder: Path, device: torch.device | str = "cpu") -> Checkpoint:
    """Read a checkpoint; its network is in evaluation mode.

    Raises:
        LatticeError: the folder holds no checkpoint, or a damaged one.
    """
    if not (folder / _ABOUT).is_file() or not (folder / _WEIGHTS).is_file():
        raise LatticeError(str(folder), "There is no checkpoint here.", _REMEDY)
    try:
        text = (folder / _ABOUT).read_text(encoding="utf-8")
        kind = find_kind(_Name.model_validate_json(text).model, str(folder))
        about = _about(kind.hyper).model_validate_json(text)
        if _sha256(folder / _WEIGHTS) != about.weights_sha256:
            raise LatticeError(str(folder), f"The checkpoint is damaged: {_WEIGHTS} was changed.", _REMEDY)
        weights = load_file(folder / _WEIGHTS)
        with torch.random.fork_rng():  # the initial weights, overwritten at once, leave the caller's draws alone
            network = kind.build(about.network)
        network.load_state_dict(weights)
    except (OSError, UnicodeDecodeError, ValidationError, SafetensorError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise LatticeError(
            str(folder), f"The checkpoint is damaged or of another release: {reason}", _REMEDY
        ) from error
    return Checkpoint(
        network=network.to(device).eval(),
        training=about.training,
        manifest=about.manifest,
        split=about.split,
        cut=about.cut,
    )


def read_manifest(folder: Path) -> TrainingManifest:
    """What the model of a checkpoint was trained on, without its weights.

    Raises:
        LatticeError: the folder holds no checkpoint, or one of another release.
    """
    try:
        return _Trained.model_validate_json((folder / _ABOUT).read_text(encoding="utf-8")).manifest
    except FileNotFoundError:
        raise LatticeError(str(folder), "There is no checkpoint here.", _REMEDY) from None
    except (OSError, UnicodeDecodeError, ValidationError) as error:
        reason = str(error).splitlines()[0]
        raise LatticeError(
            str(folder), f"The checkpoint is damaged or of another release: {reason}", _REMEDY
        ) from error


def _about(hyper: type[SharedHyperparameters]) -> type[_About[Any]]:
    """As what the JSON of a model with such hyperparameters is written and read."""
    return _About[hyper]  # type: ignore[valid-type]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
