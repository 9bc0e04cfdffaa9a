"""Batches of a training or evaluation table: the only module that touches Petastorm.

Petastorm reads whole row groups, in an order shuffled by seed; they are decoded, mixed and cut into batches in a
background thread. The same files, seed and epoch give the same batches.
"""

import re
import warnings
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing

import numpy as np
import pyarrow as pa
from petastorm import make_batch_reader

from lattice_model.loading.mixing import mix
from lattice_model.loading.prefetch import prefetch
from lattice_model.loading.rows import Array, Arrays, Loaded, columns_of, decode, to_loaded
from lattice_model.loading.survey import Selection, damaged, local_path, read_through, survey
from schemas.errors import LatticeError
from schemas.manifest import TrainingManifest

__all__ = ["Loaded", "Loader", "Selection"]

# Petastorm calls pyarrow's first dataset interface throughout; pyarrow says so on every call.
warnings.filterwarnings("ignore", category=FutureWarning, module=r"petastorm\.")

_AHEAD = 4
"""Batches read ahead of the training step."""


class Loader:
    """Streams the selected rows of the given Parquet files, as often as asked.

    ``files`` are the paths or URIs of one version of a Delta table. ``keys`` are columns to return beside each batch.
    ``shuffle`` mixes rows over row groups, of which ``held`` rows or more are in memory at a time.

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

    def epoch(self, number: int = 0) -> Iterator[Loaded]:
        """Every selected row once, in batches of the exact size, the last one smaller; shuffled anew each epoch."""
        return prefetch(self._batches(number), _AHEAD)

    def _batches(self, number: int) -> Generator[Loaded]:
        rng = np.random.default_rng((self._seed, number)) if self._shuffle else None
        with closing(self._chunks(rng)) as chunks:
            for arrays in mix(chunks, self._batch_size, self._held, rng):
                yield to_loaded(arrays, self._manifest)

    def _chunks(self, rng: np.random.Generator | None) -> Generator[Arrays]:
        """The selected rows of one row group after the other, in random order if ``rng`` is given."""
        with closing(self._row_groups(rng)) as row_groups:
            for columns in row_groups:
                arrays = decode(columns, self._manifest, self._keys)
                selected = {name: columns[name] for name in ("domain_index", *self._selection.columns)}
                chosen = np.flatnonzero(self._selection.mask(selected))
                if rng is not None:  # cheaper here, where a row lies together, than in Petastorm, column by column
                    chosen = rng.permutation(chosen)
                yield {name: array[chosen] for name, array in arrays.items()}

    def _row_groups(self, rng: np.random.Generator | None) -> Generator[dict[str, Array]]:
        """The columns of one row group after the other, these in random order if ``rng`` is given."""
        left = self.survey.stored
        try:
            reader = make_batch_reader(
                [f"file://{path}" if path.startswith("/") else path for path in map(local_path, self._files)],
                # an anchored pattern: a plain name also matches, with a warning, each name that it begins
                schema_fields=[rf"{re.escape(name)}\Z" for name in self._columns],
                # in this thread, which reads ahead anyway: results in the order of the seed, errors raised, not printed
                reader_pool_type="dummy",
                # endless, and stopped below: Petastorm 0.13 can take 'not handed out yet' for the end and lose rows
                num_epochs=None,
                shuffle_row_groups=rng is not None,
                seed=int(rng.integers(1, 2**31)) if rng else None,  # Petastorm takes 0 for unseeded
            )
            try:
                while left:
                    columns = next(reader)._asdict()
                    left -= len(columns["domain_index"])
                    yield columns
            finally:
                reader.stop()
                reader.join()
        except (pa.ArrowException, OSError, RuntimeError) as error:
            for file in self._files:
                read_through(file, self._columns)
            raise damaged(", ".join(self._files), error) from error
