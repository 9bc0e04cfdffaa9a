"""What the loader reads a second, beside pyarrow alone, FuxiCTR's and mosaicml-streaming; how long training waits.

``python -m benchmarks.loader`` writes a made-up training table of ids, numbers and a sequence as Parquet, streams it
by the loader (decoded, shuffled, as tensors) and by pyarrow (``iter_batches``: Arrow columns, or NumPy arrays of them,
in order), the best of some passes each, and trains a network on it. The peers' pins are not ours, so they run in an
environment of their own, on the same rows with sequences as lists:

  python -m venv /tmp/peers
  /tmp/peers/bin/pip install torch==2.14.1 fuxictr==2.3.10 mosaicml-streaming==0.13.0 'ray[data]'
  python -m benchmarks.loader --peers /tmp/peers/bin/python
"""

import json
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
import typer
from numpy.typing import NDArray
from rich.console import Console

from benchmarks.generated_inputs import make_manifest
from benchmarks.generated_table import ROW_GROUP, write_table
from benchmarks.quality_result import Machine
from benchmarks.results import Out, Result, Scratch, save
from jobs.memory import PeakMemory
from lattice_model.loader import Loader
from lattice_model.loading.columns import to_array, unpack
from lattice_model.loading.rows import columns_of
from lattice_model.models import configure
from lattice_model.network import Hyperparameters
from lattice_model.training.config import TrainingConfig
from lattice_model.training.trainer import train
from schemas.manifest import TrainingManifest

BATCH = 4096
_PASSES, _PEERS_PASSES = 3, 2
PEERS = {"fuxictr": "FuxiCTR's Parquet loader", "streaming": "mosaicml-streaming"}
console = Console(stderr=True)


class Read(Result):
    """One way of reading the table."""

    way: str
    rows_a_second: float
    first_batch: float
    """Seconds."""
    peak_gib: float
    """Of all processes, this one's torch and what else it imports included."""


class Loading(Result):
    """Everything that was measured."""

    rows: int
    columns: int
    events: int
    bytes: int
    threads: int
    reads: tuple[Read, ...]
    waiting_share: float
    trained_rows_a_second: float
    machine: Machine


def measure(way: str, passes: Callable[[int], Iterable[Any]], rows: int) -> Read:
    """Stream the table some times; the best pass counts."""
    seconds, first = [], []
    with PeakMemory() as memory:
        for number in range(_PASSES):
            started = time.monotonic()
            batches = iter(passes(number))
            next(batches)
            first.append(time.monotonic() - started)
            for _ in batches:
                pass
            seconds.append(time.monotonic() - started)
    return _read(way, rows, min(seconds), min(first), memory)


def _read(way: str, rows: int, seconds: float, first: float, memory: PeakMemory) -> Read:
    console.print(f"{way}: {rows / seconds:,.0f} rows/s", highlight=False)
    return Read(way=way, rows_a_second=rows / seconds, first_batch=first, peak_gib=memory.peak / 2**30)


def arrow_batches(files: Sequence[str], columns: list[str]) -> Iterable[pa.RecordBatch]:
    for file in files:
        yield from pq.ParquetFile(file).iter_batches(BATCH, columns=columns)


def numpy_batches(files: Sequence[str], columns: list[str]) -> Iterable[dict[str, NDArray[Any]]]:
    """Unknown numbers as NaN, packed sequences as they are."""
    for batch in arrow_batches(files, columns):
        yield {name: to_array(batch.column(name)) for name in columns}


def peer(loader: str, python: Path, files: Sequence[str], manifest: TrainingManifest, rows: int) -> Read:
    """Stream the table's rows, sequences as lists, by a peer."""
    with tempfile.TemporaryDirectory(dir=Path(files[0]).parent) as folder, PeakMemory() as memory:
        for number, file in enumerate(files):
            with_lists = _with_lists(pq.read_table(file), manifest)
            pq.write_table(with_lists, Path(folder) / f"part-{number:04}.parquet", row_group_size=ROW_GROUP)
        found = subprocess.run(
            [python, Path(__file__).with_name("theirs.py"), loader, folder, str(BATCH), str(_PEERS_PASSES)],
            check=False,
            capture_output=True,
            text=True,
        )
    if found.returncode:
        raise SystemExit(f"{PEERS[loader]} ended with status {found.returncode}:\n{found.stderr[-4000:]}")
    result = json.loads(found.stdout.splitlines()[-1])
    if result["rows"] != rows:
        raise SystemExit(f"{PEERS[loader]} gave {result['rows']} rows of {rows}.")
    return _read(PEERS[loader], rows, result["seconds"], result["first_batch"], memory)


def _with_lists(table: pa.Table, manifest: TrainingManifest) -> pa.Table:
    for sequence in manifest.sequences:
        for dtype, parts in (("<i8", sequence.ids), ("<f4", sequence.dense)):
            for part in parts:
                values = unpack(part.column, to_array(table[part.column]), dtype, sequence.length, "")
                offsets = pa.array(np.arange(len(values) + 1) * sequence.length, pa.int32())
                lists = pa.ListArray.from_arrays(offsets, pa.array(values.ravel()))
                table = table.set_column(table.column_names.index(part.column), part.column, lists)
    return table


def run(rows: int, events: int, steps: int, peers: Path | None, folder: Path) -> Loading:
    """Write, read and train."""
    manifest = make_manifest(events=events)
    files = write_table(manifest, rows, folder)
    columns = list(columns_of(manifest, ()))
    shuffled, ordered = (Loader(files, manifest, batch_size=BATCH, shuffle=shuffle) for shuffle in (True, False))
    reads = [
        measure("pyarrow alone, Arrow columns", lambda _: arrow_batches(files, columns), rows),
        measure("pyarrow alone, NumPy arrays", lambda _: numpy_batches(files, columns), rows),
        measure("the loader, shuffled", shuffled.epoch, rows),
        measure("the loader, in order", ordered.epoch, rows),
    ]
    if peers is not None:
        reads += [peer(loader, peers, files, manifest, rows) for loader in PEERS]
    log = train(
        config=TrainingConfig(batch_size=BATCH, steps=steps, save_every=1e9),
        network_config=configure(Hyperparameters(), manifest, "test"),
        batches=Loader(files, manifest, batch_size=BATCH),
        manifest=manifest,
        split="test",
        folder=folder / "model",
        console=console,
    )
    return Loading(
        rows=rows,
        columns=len(columns),
        events=events,
        bytes=sum(Path(file).stat().st_size for file in files),
        threads=torch.get_num_threads(),
        reads=tuple(reads),
        waiting_share=log.waiting_share,
        trained_rows_a_second=log.rows_per_second,
        machine=Machine.here(),
    )


def page(result: Loading) -> str:
    """The result as Markdown."""
    lines = [
        "# What the loader reads",
        "",
        f"{result.rows:,} made-up rows of {result.columns} columns, with a sequence of {result.events} events of five "
        f"fields, {result.bytes / 2**20:,.0f} MiB in row groups of {ROW_GROUP:,}, in batches of {BATCH:,}; by "
        "`python -m benchmarks.loader --peers PYTHON`, the best of some passes. pyarrow alone is `iter_batches` over "
        "the same files and columns, in order. The loader gives tensors: ids folded, numbers stacked, sequences "
        "unpacked, and rows mixed over row groups where it shuffles. FuxiCTR's loader reads the same rows with "
        "sequences as lists, by Ray Data with two batches ahead and a buffer as large as ours; "
        "mosaicml-streaming reads them in its own format by two workers. Memory is that "
        "of all processes, torch included.",
        "",
        "| way | rows a second | of Arrow columns | of NumPy arrays | first batch, s | peak GiB |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    arrow, arrays = (part.rows_a_second for part in result.reads[:2])
    lines += [
        f"| {part.way} | {part.rows_a_second:,.0f} | {part.rows_a_second / arrow:.2f} | "
        f"{part.rows_a_second / arrays:.2f} | {part.first_batch:.1f} | {part.peak_gib:.2f} |"
        for part in result.reads
    ]
    trained = (
        f"Training a Lattice Network of the default settings on it waited for data {result.waiting_share:.1%} of the "
        f"time, at {result.trained_rows_a_second:,.0f} rows a second with {result.threads} threads."
    )
    return "\n".join([*lines, "", trained, "", str(result.machine), ""])


def main(
    rows: Annotated[int, typer.Option("--rows", help="Of the table.")] = 400_000,
    events: Annotated[int, typer.Option("--events", help="Of its sequence.")] = 20,
    steps: Annotated[int, typer.Option("--steps", help="Of the training.")] = 40,
    peers: Annotated[Path | None, typer.Option("--peers", help="The Python of an environment that has them.")] = None,
    scratch: Scratch = None,
    out: Out = Path("docs/results/loader.md"),
) -> None:
    """Measure the loader beside pyarrow alone and, in an environment of their own, beside its peers.

    Examples:

      python -m benchmarks.loader

      python -m benchmarks.loader --rows 50000 --steps 5 --out /tmp/loader.md
    """
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        result = run(rows, events, steps, peers, Path(folder))
    save(result, page(result), out)
    print(page(result))


if __name__ == "__main__":
    typer.run(main)
