"""Small training tables as Parquet files, as the pipeline lays them out."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from schemas.manifest import TrainingManifest

START = np.datetime64("2024-01-01T00:00:00", "us")


def make_table(manifest: TrainingManifest, rows: int, seed: int = 0) -> pa.Table:
    """Random rows: row i has impression_id i, a user of 20, and is available i hours after ``START``."""
    rng = np.random.default_rng(seed)
    times = START + np.arange(rows).astype("timedelta64[h]")
    columns = {
        "impression_id": pa.array(np.arange(rows)),
        "user_id": pa.array([f"user {number}" for number in rng.integers(0, 20, rows)]),
        "impression_time": pa.array(times, pa.timestamp("us", tz="UTC")),
        "available_time": pa.array(times, pa.timestamp("us", tz="UTC")),
        "split": pa.array(["validation" if i % 3 else "test" for i in range(rows)]),
        "domain_index": pa.array(rng.integers(0, len(manifest.domains), rows), pa.int32()),
        "weight": pa.array(rng.choice([1.0, 4.0], rows), pa.float32()),
        "window_index": pa.array(rng.integers(0, len(manifest.windows), rows), pa.int32()),
    }
    for part in manifest.categorical:
        columns[part.column] = pa.array(_hashes(rng, rows))
    for number in manifest.dense:
        columns[number.column] = pa.array(rng.normal(size=rows), pa.float32(), mask=rng.random(rows) < 0.2)
    for objective in manifest.objectives:
        columns[objective.column] = pa.array(rng.random(rows) < 0.3).cast(pa.float32())
        columns[objective.column] = pa.array(columns[objective.column].to_numpy(), mask=rng.random(rows) < 0.4)
    for sequence in manifest.sequences:
        columns[sequence.length_column] = pa.array(rng.integers(0, sequence.length + 1, rows), pa.int32())
        for field in sequence.ids:
            columns[field.column] = _packed(_hashes(rng, (rows, sequence.length)))
        for event_number in sequence.dense:
            columns[event_number.column] = _packed(rng.normal(size=(rows, sequence.length)).astype("<f4"))
    return pa.table(columns)


def write_files(table: pa.Table, folder: Path, files: int = 3, row_group: int = 40, int96: bool = False) -> list[str]:
    """The table as several files of several row groups; the last ones are smaller."""
    folder.mkdir(parents=True, exist_ok=True)
    size = -(-table.num_rows // files)
    paths = []
    for number in range(files):
        paths.append(str(folder / f"part-{number}.parquet"))
        part = table.slice(number * size, size)
        pq.write_table(part, paths[-1], row_group_size=row_group, use_deprecated_int96_timestamps=int96)
    return paths


def _hashes(rng: np.random.Generator, shape: int | tuple[int, ...]) -> NDArray[Any]:
    hashes = rng.integers(-(2**63), 2**63 - 1, shape)
    return np.where(rng.random(shape) < 0.1, 0, hashes)


def _packed(values: NDArray[Any]) -> pa.Array:
    return pa.array([row.tobytes() for row in values], pa.binary())
