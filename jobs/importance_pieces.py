"""The work of ``lattice importance`` in pieces: a few features each, measured by Spark's tasks, each piece a file.

What a piece holds depends on the run alone, not on who measures it or what else he does. A run that is killed finds
the pieces that are finished and goes on with the others.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

import pyarrow as pa
import torch
from pyspark.sql import SparkSession
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from jobs.watching import Watch
from lattice_model.allocation import keep_freed_memory
from lattice_model.importance.config import ImportanceConfig
from lattice_model.importance.engine import Engine
from lattice_model.importance.features import Feature
from lattice_model.importance.rows import KEYS, Rows
from lattice_model.loader import Loader, Selection
from lattice_model.training.checkpoint import load
from pipelines.tables import join_uri
from pipelines.warehouse import list_files, write_text

FEATURES = 8
"""Of a piece: few, so that little is lost by a kill and progress is seen; enough to fill batches."""
_ROWS_A_BATCH = 8192
_SECONDS_BETWEEN_LOOKS = 1.0


@dataclass(frozen=True, kw_only=True)
class Pieces:
    """A run, as it travels to the executors: these read the checkpoint and the rows, and write into ``folder``."""

    checkpoint: Path
    files: tuple[str, ...]
    """Those that hold the rows."""
    features: tuple[Feature, ...]
    config: ImportanceConfig
    folder: str
    threads: int
    """Of torch, in each task."""

    @property
    def count(self) -> int:
        return -(-len(self.features) // FEATURES)

    def uri(self, number: int) -> str:
        return join_uri(self.folder, f"piece-{number:05d}.json")

    def finished(self) -> set[int]:
        """The numbers of the pieces that are there."""
        there = set(list_files(self.folder))
        return {number for number in range(self.count) if self.uri(number) in there}

    def engine(self) -> Engine:
        """The model and the rows, read."""
        checkpoint = load(self.checkpoint)
        loader = Loader(
            self.files,
            checkpoint.manifest,
            batch_size=_ROWS_A_BATCH,
            shuffle=False,
            keys=KEYS,
            selection=Selection(split="validation"),
        )
        return Engine(checkpoint.network, Rows.read(loader.epoch(), checkpoint.manifest), self.config)

    def measure(self, engine: Engine, number: int) -> None:
        """Make one piece, whole or not at all."""
        features = self.features[number * FEATURES : (number + 1) * FEATURES]
        lines = [json.dumps(asdict(importance)) + "\n" for importance in engine.measure(features)]
        write_text(self.uri(number), "".join(lines))

    def run(self, spark: SparkSession, console: Console) -> None:
        """Make the pieces that are lacking, each in a task of its own: executors that come later take their share."""
        lacking = sorted(set(range(self.count)) - self.finished())
        if len(lacking) < self.count:
            done = self.count - len(lacking)
            console.print(f"importance: {done} of {self.count} pieces were finished before", highlight=False)

        def work(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            torch.set_num_threads(self.threads)
            keep_freed_memory()
            for batch in batches:
                for position in batch.column("id").to_pylist():
                    self.measure(_engine(self), lacking[position])
                yield batch

        if lacking:
            with _Progress(self, console):
                numbers = spark.range(0, len(lacking), 1, len(lacking))
                numbers.mapInArrow(work, "id long").write.format("noop").mode("overwrite").save()


@lru_cache(maxsize=1)
def _engine(pieces: Pieces) -> Engine:
    """The engine of this process, which Spark gives one task after the other: it is made once."""
    return pieces.engine()


class _Progress(Watch):
    """A bar of the finished pieces, on a terminal; a line now and then elsewhere."""

    def __init__(self, pieces: Pieces, console: Console) -> None:
        super().__init__()
        self._pieces, self._console, self._told = pieces, console, 0.0
        self._bar = Progress(
            TextColumn("importance"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn(),
            console=console, transient=True, disable=not console.is_terminal,
        )  # fmt: skip
        self._task = self._bar.add_task("", total=pieces.count, completed=len(pieces.finished()))

    def look(self) -> float:
        done = len(self._pieces.finished())
        self._bar.start()
        self._bar.update(self._task, completed=done)
        if not self._console.is_terminal and done >= self._told + self._pieces.count / 10:
            self._told = done
            self._console.print(f"importance: {done} of {self._pieces.count} pieces", highlight=False)
        return _SECONDS_BETWEEN_LOOKS

    def __exit__(self, *error: object) -> None:
        super().__exit__(None, None, None)
        self._bar.stop()
