"""Results as they come: a line of JSON each, and its replicates beside it. A grid that was killed finds them again.

Several processes may share a folder: each claims a cell before it runs it.
"""

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from benchmarks.models.cell import Found, Outcome
from lattice_model.evaluation.metrics import Floats


class Store:
    """The outcomes of a folder, by key."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lines = folder / "outcomes.jsonl"
        for name in ("replicates", "claims"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        self.outcomes: dict[str, Outcome] = {}
        self.refresh()

    def refresh(self) -> None:
        """Take in what other processes have found."""
        text = self._lines.read_text(encoding="utf-8") if self._lines.is_file() else ""
        outcomes = (_outcome(line) for line in text.splitlines())
        self.outcomes.update((found.key, found) for found in outcomes if found is not None)

    @contextmanager
    def claim(self, key: str) -> Iterator[bool]:
        """Whether the cell is this process's to run; nobody else's until the block ends, or the process."""
        with (self._folder / "claims" / key).open("w", encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                self.refresh()
                yield key not in self.outcomes

    def add(self, found: Found) -> None:
        """Keep it on disk; the line, by which it counts as there, is written last."""
        if found.replicates is not None:
            np.savez_compressed(self._replicates(found.outcome.key), **found.replicates)
        with self._lines.open("a+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
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
