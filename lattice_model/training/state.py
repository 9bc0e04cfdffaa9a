"""What a run needs to go on after it was stopped: nested values in one file, replaced whole.

The file is one of safetensors, whose metadata hold the rest as JSON: nothing in it is executed when it is read.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from lattice_model.training.encoding import Tree, decoded, encoded
from schemas.errors import LatticeError


def write_state(path: Path, owner: Mapping[str, str], tree: Tree) -> None:
    """Write the state of the run that ``owner`` (part -> fingerprint) identifies; the file is replaced at once.

    Raises:
        LatticeError: it cannot be written.
    """
    tensors: dict[str, Tensor] = {}
    text = json.dumps({"owner": dict(owner), "tree": encoded(tree, tensors)})
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        save_file(tensors, unfinished, metadata={"state": text, "sha256": _digest(text, tensors)})
        with unfinished.open("rb") as file:
            os.fsync(file.fileno())
        unfinished.replace(path)
    except (OSError, SafetensorError) as error:
        raise LatticeError(
            str(path),
            f"The state of the run cannot be saved: {error}.",
            "Make room, then run the same command again: it goes on from the state before.",
        ) from error
    finally:
        unfinished.unlink(missing_ok=True)


def read_state(path: Path) -> tuple[dict[str, str], Tree] | None:
    """The owner and the values of the state that lies there, tensors on the CPU; None if none does.

    Raises:
        LatticeError: it is damaged.
    """
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if _digest(metadata["state"], tensors) != metadata["sha256"]:
            raise ValueError("its content was changed")
        content = json.loads(metadata["state"])
        return content["owner"], decoded(content["tree"], tensors)
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise LatticeError(
            str(path), f"The saved state of the run is damaged: {error}.", "Delete this file to begin the run anew."
        ) from error


def _digest(text: str, tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        digest.update(tensors[name].view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
