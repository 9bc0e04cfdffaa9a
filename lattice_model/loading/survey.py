"""What the files of a table hold, read before the first batch: whether they fit, rows, and labels of every head.

Only footers and the few columns that decide are read.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import unquote, urlsplit

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pyarrow.fs import FileSystem

from lattice_model.loading.columns import Array
from schemas.errors import LatticeError
from schemas.manifest import Split, TrainingManifest

REMEDY = "Build the table again; pass the files of one version of it, as Delta lists them."


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Which rows of a table count: those available from one moment to before another, those of one split.

    None: no such limit.
    """

    available_from: datetime | None = None
    available_before: datetime | None = None
    split: Split | None = None

    def __str__(self) -> str:
        parts = [
            f"available {word} {moment:%Y-%m-%d %H:%M %Z}"
            for word, moment in (("from", self.available_from), ("before", self.available_before))
            if moment is not None
        ]
        return ", ".join([*parts, *([f"in the split '{self.split}'"] if self.split else [])]) or "any"

    @property
    def columns(self) -> tuple[str, ...]:
        timed = self.available_from is not None or self.available_before is not None
        return ("available_time",) * timed + ("split",) * (self.split is not None)

    def mask(self, columns: dict[str, Array]) -> NDArray[np.bool_]:
        """Which of the rows count; there is at least one column."""
        chosen = np.ones(len(next(iter(columns.values()))), dtype=np.bool_)
        if self.available_from is not None:
            chosen &= columns["available_time"] >= _utc(self.available_from)
        if self.available_before is not None:
            chosen &= columns["available_time"] < _utc(self.available_before)
        if self.split is not None:
            chosen &= columns["split"] == self.split
        return chosen


@dataclass(frozen=True, kw_only=True)
class Survey:
    """``stored`` rows lie in the files, ``rows`` of them are selected.

    ``labels`` and ``positives`` are in the order of the heads; they count by the weights of their rows.
    """

    stored: int
    rows: int
    row_groups: tuple[int, ...]
    """The selected rows of each row group, in the order of the files."""
    labels: tuple[float, ...]
    positives: tuple[float, ...]

    def base_rates(self) -> tuple[float, ...]:
        """Each head's share of positives among its labels, drawn off 0 and 1 by one row of either kind."""
        return tuple((p + 1) / (n + 2) for p, n in zip(self.positives, self.labels, strict=True))


def survey(files: Sequence[str], manifest: TrainingManifest, needed: dict[str, str], selection: Selection) -> Survey:
    """Check that each file can be read and has the ``needed`` columns (name -> Arrow type, '' for any), and count.

    Raises:
        LatticeError: a file is missing or damaged, or a column is missing or of another type.
    """
    heads = manifest.heads()
    stored, groups = 0, list[int]()
    labels, positives = np.zeros(len(heads)), np.zeros(len(heads))
    names = ["window_index", "weight", *selection.columns, *(objective.column for objective in manifest.objectives)]
    for file in files:
        columns, sizes = _read(file, names, needed)
        chosen = selection.mask(columns)
        stored += len(chosen)
        groups += [int(group.sum()) for group in np.split(chosen, np.cumsum(sizes)[:-1])]
        window, weight = columns["window_index"][chosen], columns["weight"][chosen].astype(np.float64)
        for position, (name, head_window) in enumerate(heads):
            column = next(objective.column for objective in manifest.objectives if objective.name == name)
            value = columns[column][chosen]
            routed = head_window is None or window == manifest.windows.index(head_window)
            labels[position] += weight[~np.isnan(value) & routed].sum()
            positives[position] += weight[(value == 1) & routed].sum()
    return Survey(
        stored=stored,
        rows=sum(groups),
        row_groups=tuple(groups),
        labels=tuple(labels.tolist()),
        positives=tuple(positives.tolist()),
    )


def _utc(moment: datetime) -> np.datetime64:
    """As the tables' times are once read: UTC, without a zone."""
    return np.datetime64(moment.astimezone(UTC).replace(tzinfo=None))


def local_path(file: str) -> str:
    """The path of a ``file:`` URI; anything else (a path, another scheme) as it is."""
    return unquote(urlsplit(file).path) if file.startswith("file:") else file


def check_columns(file: str, schema: pa.Schema, needed: dict[str, str]) -> None:
    """Raise LatticeError for the first column that is missing or of another type."""
    types = dict(zip(schema.names, map(str, schema.types), strict=True))
    for name, kind in needed.items():
        found = types.get(name)
        if found is None:
            raise LatticeError(file, f"The column '{name}' is missing.", REMEDY)
        if kind and found != kind:
            raise LatticeError(file, f"The column '{name}' holds {found}; {kind} is needed.", REMEDY)


def damaged(file: str, error: Exception) -> LatticeError:
    """What a user reads about a file that cannot be read."""
    reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
    return LatticeError(file, f"The file cannot be read: {reason}.".replace("..", "."), REMEDY)


def read_through(file: str, names: Sequence[str]) -> None:
    """Read columns of a file to find out whether it is sound.

    Raises:
        LatticeError: it is not.
    """
    _read(file, names, {})


def _read(file: str, names: Sequence[str], needed: dict[str, str]) -> tuple[dict[str, Array], list[int]]:
    """The named columns of a file, and the rows of its row groups."""
    try:
        filesystem, path = FileSystem.from_uri(local_path(file))
        with filesystem.open_input_file(path) as opened:
            parquet = pq.ParquetFile(opened)
            check_columns(file, parquet.schema_arrow, needed)
            table = parquet.read(columns=list(dict.fromkeys(names)))
            sizes = [parquet.metadata.row_group(number).num_rows for number in range(parquet.num_row_groups)]
    except (pa.ArrowException, OSError) as error:
        raise damaged(file, error) from error
    return {name: table.column(name).to_pandas().values for name in table.column_names}, sizes  # UTC, without zone
