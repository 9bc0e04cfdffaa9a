"""An exported model as a folder: the program as torch.export writes it, and its layout as JSON, published whole.

Nothing is unpickled when one is read. ``torch.export.load`` by itself does unpickle: example inputs always, and
weights, constants and custom objects where the archive says so (torch 2.14, torch/export/pt2_archive). An archive
written here has no example inputs and plain tensors alone, and one that has more is refused before it is loaded.
What is left is a program: it is as trustworthy as where its layout, which holds its SHA-256, came from.
"""

import hashlib
import io
import json
import logging
import os
import shutil
import zipfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from pydantic import ValidationError
from torch import nn

from lattice_model.export.float8 import Scaling
from lattice_model.export.serving import export_program
from lattice_model.models import name_of
from lattice_model.network.model import Model
from schemas.errors import LatticeError
from schemas.manifest import Split, TrainingManifest
from schemas.serving import ServingLayout

PROGRAM, LAYOUT = "program.pt2", "layout.json"
_REMEDY = "Export the model again with `lattice export`."


@dataclass(frozen=True, eq=False)
class Export:
    """An exported model as it was read; small enough to be sent to every worker."""

    layout: ServingLayout
    program: bytes


def write(
    folder: Path,
    network: Model,
    manifest: TrainingManifest,
    *,
    model: str,
    split: Split,
    float8: Scaling | None = None,
) -> ServingLayout:
    """Export a trained network, in evaluation mode; a folder of that name is replaced.

    ``float8``: with the weights of linear layers in FP8, and how they are scaled.

    Raises:
        LatticeError: it cannot be written.
    """
    buffer = io.BytesIO()
    program = export_program(network, manifest, float8)
    program.example_inputs = None  # they would be pickled
    torch.export.save(program, buffer)
    layout = ServingLayout.of(
        manifest, model=model, network=name_of(network.config.hyper), split=split, torch=torch.__version__
    ).model_copy(update={"program_sha256": hashlib.sha256(buffer.getvalue()).hexdigest(), "float8": float8})
    unfinished = folder.with_name(f".{folder.name}.{os.getpid()}.new")
    try:
        unfinished.mkdir(parents=True)
        (unfinished / PROGRAM).write_bytes(buffer.getvalue())
        (unfinished / LAYOUT).write_text(layout.model_dump_json(indent=1) + "\n", encoding="utf-8")
        if (folder / LAYOUT).is_file():
            shutil.rmtree(folder)
        unfinished.rename(folder)
    except OSError as error:
        raise LatticeError(
            str(folder),
            f"The export cannot be written: {error.strerror or error}.",
            "Give a new folder, or that of an earlier export, with enough room.",
        ) from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return layout


def read(folder: Path) -> Export:
    """Read an exported model and hold it against its layout.

    Raises:
        LatticeError: the folder holds none, a damaged one, or one that would be unpickled.
    """
    if not (folder / LAYOUT).is_file() or not (folder / PROGRAM).is_file():
        raise LatticeError(str(folder), "There is no exported model here.", _REMEDY)
    try:
        layout = ServingLayout.read(folder / LAYOUT)
        program = (folder / PROGRAM).read_bytes()
    except (OSError, UnicodeDecodeError, ValidationError) as error:
        reason = str(error).splitlines()[0]
        raise LatticeError(str(folder), f"The export is damaged or of another release: {reason}", _REMEDY) from error
    if hashlib.sha256(program).hexdigest() != layout.program_sha256:
        raise LatticeError(str(folder), f"The export is damaged: {PROGRAM} is not what {LAYOUT} names.", _REMEDY)
    if pickled := pickles(program):
        raise LatticeError(
            str(folder), f"The program holds pickles, which can run any code: {', '.join(pickled[:3])}.", _REMEDY
        )
    return Export(layout, program)


def pickles(program: bytes) -> list[str]:
    """What of an archive ``torch.export.load`` would unpickle: names of its records."""
    found = []
    try:
        with zipfile.ZipFile(io.BytesIO(program)) as archive:
            for record in archive.infolist():
                if record.filename.endswith(".pt") and record.file_size:  # example inputs, old weights and constants
                    found.append(record.filename)
                elif record.filename.endswith("_config.json"):  # of weights and constants
                    parts = json.loads(archive.read(record))["config"]
                    found += [name for name, part in parts.items() if part["use_pickle"] is not False]
                elif Path(record.filename).name.startswith(("custom_obj", "opaque_obj")):
                    found.append(record.filename)
    except (zipfile.BadZipFile, ValueError, LookupError, TypeError, AttributeError):
        return [f"{PROGRAM}, which is no archive of torch.export"]
    return found


@cache
def program_of(export: Export) -> nn.Module:
    """The program, ready to be called: once a process.

    Raises:
        LatticeError: this torch cannot read it.
    """
    try:
        # Of what it skips where it knows better: nothing that a user could act on.
        logging.getLogger("torch.export.pt2_archive").setLevel(logging.ERROR)
        return torch.export.load(io.BytesIO(export.program)).module()
    except Exception as error:  # whatever a reader of another version's format may raise
        raise LatticeError(
            f"{PROGRAM} of model {export.layout.model}",
            f"torch {torch.__version__} cannot read what torch {export.layout.torch} wrote: {error}",
            _REMEDY,
        ) from error
