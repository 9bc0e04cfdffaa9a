"""Results as they come: a line of JSON each, and its replicates beside it. A grid that was killed finds them again."""

import fcntl
import os
from collections.abc import Mapping
from pathlib import Path
from typing import IO

import numpy as np
from pydantic import ValidationError

from benchmarks.models.cell import Found, Outcome
from lattice_model.evaluation.metrics import Floats
from schemas.errors import LatticeError


class Store:
    """The outcomes of a folder, by key."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lines = folder / "outcomes.jsonl"
        (folder / "replicates").mkdir(parents=True, exist_ok=True)
        text = self._lines.read_text(encoding="utf-8") if self._lines.is_file() else ""
        outcomes = (_outcome(line) for line in text.splitlines())
        self.outcomes: dict[str, Outcome] = {found.key: found for found in outcomes if found is not None}

    def lock(self) -> IO[str]:
        """Held until it is closed or the process ends.

        Raises:
            LatticeError: another process fills this folder.
        """
        file = (self._folder / "lock").open("w", encoding="utf-8")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LatticeError(
                str(self._folder), "Another run of the grid fills this folder.", "Wait for it, or name another folder."
            ) from None
        return file

    def add(self, found: Found) -> None:
        """Keep it on disk; the line, by which it counts as there, is written last."""
        if found.replicates is not None:
            np.savez_compressed(self._replicates(found.outcome.key), **found.replicates)
        with self._lines.open("a+b") as file:
            # What a kill left of a line ends here.
            if file.tell() and self._lines.read_bytes()[-1:] != b"\n":
                file.write(b"\n")
            file.write(found.outcome.model_dump_json().encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        self.outcomes[found.outcome.key] = found.outcome

    def replicates(self, key: str) -> Mapping[str, Floats]:
        """Each metric of the outcome's portfolios in each replicate, (portfolios, S)."""
        with np.load(self._replicates(key)) as arrays:
            return dict(arrays)

    def _replicates(self, key: str) -> Path:
        return self._folder / "replicates" / f"{key}.npz"


def _outcome(line: str) -> Outcome | None:
    try:
        return Outcome.model_validate_json(line)
    except ValidationError:  # of another release, or cut off by a kill
        return None
