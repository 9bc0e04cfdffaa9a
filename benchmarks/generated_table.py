"""A made-up training table, in columns as the pipeline writes them: for measuring what does not depend on data."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from schemas.manifest import TrainingManifest

ROW_GROUP, GROUPS_A_FILE = 40_000, 2


def write_table(manifest: TrainingManifest, rows: int, folder: Path) -> list[str]:
    """Random rows, row group by row group, in columns as the pipeline writes them."""
    rng = np.random.default_rng(1)
    paths, size = [], ROW_GROUP * GROUPS_A_FILE
    for number, start in enumerate(range(0, rows, size)):
        path = folder / f"part-{number:04}.parquet"
        writer = None
        for first in range(start, min(start + size, rows), ROW_GROUP):
            table = _row_group(manifest, min(ROW_GROUP, rows - first, start + size - first), rng)
            coded = [name for name in table.column_names if not pa.types.is_floating(table.schema.field(name).type)]
            writer = writer or pq.ParquetWriter(path, table.schema, compression="snappy", use_dictionary=coded)
            writer.write_table(table, row_group_size=ROW_GROUP)
        if writer is not None:
            writer.close()
        paths.append(str(path))
    return paths


def _row_group(manifest: TrainingManifest, rows: int, rng: np.random.Generator) -> pa.Table:
    def hashes(count: int, *shape: int) -> NDArray[np.int64]:
        """Of so many values, some seen often; a tenth is absent."""
        values = np.random.default_rng(count).integers(-(2**63), 2**63 - 1, count)
        found = values[np.minimum(rng.exponential(count / 8, shape).astype(np.int64), count - 1)]
        return np.where(rng.random(shape) < 0.1, 0, found)

    columns: dict[str, Any] = {
        "domain_index": pa.array(rng.integers(0, len(manifest.domains), rows), pa.int32()),
        "window_index": pa.array(rng.integers(0, len(manifest.windows), rows), pa.int32()),
        "weight": pa.array(np.ones(rows), pa.float32()),
    }
    columns |= {part.column: pa.array(hashes(part.size, rows)) for part in manifest.categorical}
    for number in manifest.dense:
        columns[number.column] = pa.array(rng.normal(size=rows).round(2), pa.float32(), mask=rng.random(rows) < 0.1)
    for objective in manifest.objectives:
        columns[objective.column] = pa.array((rng.random(rows) < 0.1).astype(np.float32), mask=rng.random(rows) < 0.3)
    for sequence in manifest.sequences:
        columns[sequence.length_column] = pa.array(rng.integers(0, sequence.length + 1, rows), pa.int32())
        for event_id in sequence.ids:
            columns[event_id.column] = _packed(hashes(event_id.size, rows, sequence.length))
        for event_number in sequence.dense:
            values = rng.exponential(5.0, (rows, sequence.length)).round(1).astype("<f4")
            columns[event_number.column] = _packed(values)
    return pa.table(columns)


def _packed(values: NDArray[Any]) -> pa.Array:
    width = values.shape[1] * values.itemsize
    offsets = pa.array(np.arange(len(values) + 1) * width, pa.int32())
    return pa.Array.from_buffers(pa.binary(), len(values), [None, offsets.buffers()[1], pa.py_buffer(values.tobytes())])
