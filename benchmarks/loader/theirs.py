"""The peers' side: ``python theirs.py LOADER FOLDER BATCH PASSES`` in an environment of its own. Prints JSON.

It knows nothing of this project. ``FOLDER`` holds Parquet files of whole numbers, floats and lists of one length.
"""

import json
import logging
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow.parquet as pq


def fuxictr(folder: str, batch: int) -> Callable[[], Iterable[Any]]:
    """FuxiCTR's Parquet loader: Ray Data, blocks and rows shuffled, batches as tensors."""
    import ray  # type: ignore[import-not-found]
    from fuxictr.pytorch.dataloaders.parquet_dataloader import ParquetDataLoader  # type: ignore[import-not-found]

    ray.init(logging_level=logging.ERROR, log_to_driver=False, include_dashboard=False)
    names = pq.read_schema(next(Path(folder).glob("*.parquet"))).names
    features = SimpleNamespace(features=dict.fromkeys(names), labels=[])
    loader = ParquetDataLoader(features, folder, batch_size=batch, shuffle=True, num_workers=2, buffer_size=131_072)
    return lambda: loader


def streaming(folder: str, batch: int) -> Callable[[], Iterable[Any]]:
    """mosaicml-streaming on the same rows in its own format, shuffled, by a torch DataLoader of two workers."""
    from streaming import MDSWriter, StreamingDataset  # type: ignore[import-not-found]
    from torch.utils.data import DataLoader

    out = tempfile.mkdtemp(dir=folder)
    files = sorted(Path(folder).glob("*.parquet"))
    columns, arrays = {}, {}
    for field in pq.read_schema(files[0]):
        if str(field.type).startswith("list"):
            item = {"int64": "int64", "float": "float32"}[str(field.type.value_type)]
            width = len(pq.ParquetFile(files[0]).read_row_group(0, [field.name])[field.name][0])
            columns[field.name] = f"ndarray:{item}:{width}"
            arrays[field.name] = item
        else:
            columns[field.name] = {"int32": "int32", "int64": "int64", "float": "float32"}[str(field.type)]
    with MDSWriter(out=out, columns=columns) as writer:
        for file in files:
            for part in pq.ParquetFile(file).iter_batches(10_000):
                values = {}
                for name in columns:
                    column = part.column(name)
                    if name in arrays:
                        values[name] = column.flatten().to_numpy().reshape(part.num_rows, -1)
                    else:
                        values[name] = column.to_numpy(zero_copy_only=False)
                for row in range(part.num_rows):
                    writer.write({name: array[row] for name, array in values.items()})
    dataset = StreamingDataset(local=out, shuffle=True, batch_size=batch, shuffle_seed=1)
    return lambda: DataLoader(dataset, batch_size=batch, num_workers=2)


def main(loader: str, folder: str, batch: int, passes: int) -> None:
    os.environ.setdefault("RAY_DEDUP_LOGS", "0")
    epoch = {"fuxictr": fuxictr, "streaming": streaming}[loader](folder, batch)
    seconds, first, rows = [], [], 0
    for _ in range(passes):
        started, rows = time.monotonic(), 0
        for number, part in enumerate(epoch()):
            if not number:
                first.append(time.monotonic() - started)
            rows += len(next(iter(part.values())))
        seconds.append(time.monotonic() - started)
    print(json.dumps({"rows": rows, "seconds": min(seconds), "first_batch": min(first)}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
