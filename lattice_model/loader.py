"""Batches of a training or evaluation table: the only module that touches Petastorm.

Petastorm reads whole row groups, in an order shuffled by seed, in a background thread; another one mixes them, cuts
them into batches and decodes those. The same files, seed and epoch give the same batches, from whichever batch one
starts.

The processes of a distributed run each take their share of every batch: together they take the batches of one process,
and as many of them, however the row groups lie. Each reads all row groups, and holds and decodes its own rows alone.
"""

import warnings
from collections.abc import Generator, Sequence
from contextlib import closing
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from petastorm.arrow_reader_worker import ArrowReaderWorker, ArrowReaderWorkerResultsQueueReader
from petastorm.fs_utils import get_filesystem_and_path_or_paths
from petastorm.reader import Reader
from petastorm.unischema import UnischemaField
from petastorm.workers_pool import EmptyResultError
from petastorm.workers_pool.dummy_pool import DummyPool
from pyarrow.parquet import ParquetFile

from lattice_model.loading.columns import to_array
from lattice_model.loading.mixing import Held, Mixer, Share
from lattice_model.loading.prefetch import prefetch
from lattice_model.loading.rows import Arrays, Loaded, columns_of, decode, padding, to_loaded
from lattice_model.loading.survey import Selection, damaged, local_path, read_through, survey
from schemas.errors import LatticeError
from schemas.manifest import TrainingManifest

__all__ = ["Loaded", "Loader", "Selection"]

# Petastorm calls pyarrow's first dataset interface throughout; pyarrow says so on every call.
warnings.filterwarnings("ignore", category=FutureWarning, module=r"petastorm\.")

_AHEAD = 4
"""Batches read ahead of the training step."""
_BLOCK = 8192
"""Rows of a row group that are let go together."""


class Loader:
    """Streams the selected rows of the given Parquet files, as often as asked.

    ``files`` are the paths or URIs of one version of a Delta table. ``keys`` are columns to return beside each batch.
    ``shuffle`` mixes rows over row groups, of which ``held`` rows or more are in memory at a time. ``share`` says which
    rows of every batch come here, and which to other processes.

    Raises:
        LatticeError: no files, no selected rows, a file missing or damaged, a column missing or of another type.
    """

    def __init__(
        self,
        files: Sequence[str],
        manifest: TrainingManifest,
        *,
        batch_size: int,
        seed: int = 1,
        shuffle: bool = True,
        held: int = 131_072,
        keys: Sequence[str] = (),
        selection: Selection | None = None,
        share: Share | None = None,
    ) -> None:
        table = f"the tables of {manifest.space}/{manifest.group}"
        if not files:
            raise LatticeError(table, "The list of files is empty.", "Build the table first: it has no rows.")
        self._files = sorted(files)
        self._manifest = manifest
        self._batch_size = batch_size
        self._seed = seed
        self._shuffle = shuffle
        self._held = held
        self._keys = tuple(keys)
        self._selection = selection or Selection()
        self._share = share or Share()
        needed = dict.fromkeys(self._selection.columns, "") | columns_of(manifest, keys)
        self._columns = tuple(needed)
        self.survey = survey(self._files, manifest, needed, self._selection)
        if not self.survey.rows:
            raise LatticeError(
                table,
                f"None of the {self.survey.stored} rows is selected ({self._selection}).",
                "Choose a split that has rows, or build the table from more data.",
            )

    @property
    def rows(self) -> int:
        """Selected rows: what one epoch yields."""
        return self.survey.rows

    @property
    def steps(self) -> int:
        """Batches of one epoch."""
        return -(-self.rows // self._batch_size)

    def epoch(self, number: int = 0, start: int = 0) -> Generator[Loaded]:
        """Every selected row once, in batches of the exact size, the last one smaller; shuffled anew each epoch.

        Of each batch come the rows of this process's share; a row of padding, without labels, if there are none.
        ``start`` leaves out so many batches; what only they need is not read.
        """
        return prefetch(self._batches(number, start), _AHEAD)

    def _batches(self, number: int, start: int) -> Generator[Loaded]:
        rng = np.random.default_rng((self._seed, number)) if self._shuffle else None
        mixer = Mixer(self.survey.row_groups, self._batch_size, self._held, rng).skip(start)
        held, empty = Held(_BLOCK), None
        with closing(prefetch(self._row_groups(mixer.to_come()), 1)) as row_groups:
            for parts in mixer:
                own = [part for part in map(self._share.of, parts) if part.start < part.stop]
                while empty is None or not all(part.chunk in held for part in own):
                    chunk, table = next(row_groups)
                    blocks = self._decoded(table, self._share.among(chunk, mixer.orders.pop(chunk)))
                    empty = {name: array[:0] for name, array in blocks[0].items()} if empty is None else empty
                    held.put(chunk, blocks)
                taken = [rows for part in own for rows in held.take(part)] or [padding(empty)]
                rows = {name: np.concatenate([rows[name] for rows in taken]) for name in empty}
                yield to_loaded(rows, self._manifest, padded=not own)

    def _decoded(self, table: pa.Table, order: NDArray[np.int64]) -> list[Arrays]:
        """The selected rows of a row group in the given order, in blocks; one of no rows if there are none."""
        columns = {name: to_array(table.column(name)) for name in table.column_names}
        chosen = np.flatnonzero(self._selection.mask(columns))[order]
        starts = range(0, max(len(chosen), 1), _BLOCK)
        return [decode(columns, self._manifest, self._keys, chosen[start : start + _BLOCK]) for start in starts]

    def _row_groups(self, numbers: list[int]) -> Generator[tuple[int, pa.Table]]:
        """The columns of those row groups, in that order."""
        try:
            filesystem, paths = get_filesystem_and_path_or_paths(
                [f"file://{path}" if path.startswith("/") else path for path in map(local_path, self._files)]
            )
            reader = Reader(
                filesystem,
                paths,
                # fields, of which the names count: Petastorm holds every pattern against every column
                schema_fields=[UnischemaField(name, None, ()) for name in self._columns],
                worker_class=_TableWorker,
                reader_pool=_InOrder(numbers),
                # endless, and stopped below: Petastorm 0.13 can take 'not handed out yet' for the end and lose rows
                num_epochs=None,
                shuffle_row_groups=False,
                is_batched_reader=True,
            )
            try:
                for number in numbers:
                    yield number, next(reader)
            finally:
                reader.stop()
                reader.join()
        except (pa.ArrowException, OSError, RuntimeError) as error:
            for file in self._files:
                read_through(file, self._columns)
            raise damaged(", ".join(self._files), error) from error


class _TableWorker(ArrowReaderWorker):  # type: ignore[misc]
    """Gives a row group as it was read.

    Petastorm copies its rows, in the order that they have, and makes NumPy arrays of them: of sequences, an object a
    row.
    """

    def _read_with_shuffle_row_drop(self, piece: Any, pq_file: ParquetFile, column_names: set[str], _: Any) -> pa.Table:
        return pq_file.read_row_group(piece.row_group, columns=sorted(column_names))

    @staticmethod
    def new_results_queue_reader() -> "_Tables":
        return _Tables()


class _Tables(ArrowReaderWorkerResultsQueueReader):  # type: ignore[misc]
    def read_next(self, workers_pool: DummyPool, schema: Any, ngram: Any) -> pa.Table:
        try:
            return workers_pool.get_results()
        except EmptyResultError as end:
            raise StopIteration from end


class _InOrder(DummyPool):  # type: ignore[misc]  # Petastorm has no types
    """A pool that reads some row groups in a given order, where Petastorm offers all of them, over and over.

    It works in the caller's thread, which reads ahead anyway: errors are raised there, not printed.
    """

    def __init__(self, numbers: list[int]) -> None:
        super().__init__()
        self._numbers = iter(numbers)

    def ventilate(self, **item: Any) -> None:
        number = next(self._numbers, None)
        if number is not None:
            super().ventilate(**{**item, "piece_index": number})
