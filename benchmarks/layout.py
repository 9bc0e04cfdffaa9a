"""How large files and row groups of the training table should be: what the loader reads a second, and how it mixes.

``python -m benchmarks.layout --warehouse W`` writes the published training table anew in several ways and streams each
one some times, in turns, so that what disturbs the machine for a while does not fall on one of them; the best counts.
Every turn is a process of its own, whose memory is what is reported.
"""

import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import typer
from rich.console import Console

from benchmarks.counts import COMPARED
from benchmarks.quality_result import Machine
from benchmarks.results import Out, Result, Scratch, save
from jobs import options
from jobs.memory import PeakMemory
from jobs.models import current_manifest, pinned_files
from jobs.target import Target
from lattice_model.loader import Loader
from schemas.manifest import TrainingManifest

WAYS = (
    (5_000, 10, "snappy"), (10_000, 10, "snappy"), (20_000, 5, "snappy"), (40_000, 5, "snappy"),
    (80_000, 2, "snappy"), (40_000, 1, "snappy"), (40_000, 5, "zstd"), (40_000, 5, "none"),
)  # fmt: skip
"""Rows a row group, row groups a file, compression."""
_ROUNDS, _EPOCHS = 3, 2
console = Console(stderr=True)


class Pass(Result):
    """What streaming the table once took."""

    rows_a_second: float
    first_batch: float
    """Seconds until the first batch."""
    peak_gib: float
    """Of the process, with torch in it."""


class Layout(Result):
    """One way of laying the table out, and what reading it took: the best of some passes, the most memory of any."""

    rows_a_group: int
    groups_a_file: int
    compression: str
    bytes: int
    rows_a_second: float
    first_batch: float
    peak_gib: float


class Layouts(Result):
    """Everything that was measured."""

    space: str
    rows: int
    arrow_rows_a_second: float
    """What pyarrow reads of the same columns, into Arrow tables and no further."""
    machine: Machine
    layouts: tuple[Layout, ...]


def write(table: pa.Table, folder: Path, rows_a_group: int, groups_a_file: int, compression: str) -> list[str]:
    """The table's files, laid out so."""
    folder.mkdir()
    size = rows_a_group * groups_a_file
    coded = [name for name in table.column_names if not pa.types.is_floating(table.schema.field(name).type)]
    files = []
    for number, start in enumerate(range(0, table.num_rows, size)):
        files.append(str(folder / f"part-{number:04}.parquet"))
        pq.write_table(
            table.slice(start, size),
            files[-1],
            row_group_size=rows_a_group,
            compression=compression,
            use_dictionary=coded,
        )
    return files


def stream(files: Sequence[str], manifest: TrainingManifest) -> Pass:
    """Read the files by the loader."""
    seconds, first = [], []
    with PeakMemory() as memory:
        loader = Loader(files, manifest, batch_size=4096)
        for epoch in range(_EPOCHS):
            started = time.monotonic()
            batches = loader.epoch(epoch)
            next(batches)
            first.append(time.monotonic() - started)
            for _ in batches:
                pass
            seconds.append(time.monotonic() - started)
    return Pass(rows_a_second=loader.rows / min(seconds), first_batch=min(first), peak_gib=memory.peak / 2**30)


def compare(table: pa.Table, manifest: TrainingManifest, folder: Path) -> tuple[Layout, ...]:
    """Lay the table out in all ways, and stream them in turns."""
    written = [write(table, folder / str(number), *way) for number, way in enumerate(WAYS)]
    passes: list[list[Pass]] = [[] for _ in WAYS]
    with ProcessPoolExecutor(1, get_context("spawn"), max_tasks_per_child=1) as alone:
        for turn in range(_ROUNDS):
            for way, files, done in zip(WAYS, written, passes, strict=True):
                done.append(alone.submit(stream, files, manifest).result())
                console.print(f"{turn + 1}: {way}: {done[-1].rows_a_second:,.0f} rows/s", highlight=False)
    return tuple(
        Layout(
            rows_a_group=rows_a_group,
            groups_a_file=groups_a_file,
            compression=compression,
            bytes=sum(Path(file).stat().st_size for file in files),
            rows_a_second=max(one.rows_a_second for one in done),
            first_batch=min(one.first_batch for one in done),
            peak_gib=max(one.peak_gib for one in done),
        )
        for (rows_a_group, groups_a_file, compression), files, done in zip(WAYS, written, passes, strict=True)
    )


def page(result: Layouts) -> str:
    """The result as Markdown."""
    lines = [
        "# How the training table is laid out",
        "",
        f"The training table of `{result.space}`, {result.rows:,} rows, written in several ways and streamed by the "
        "loader in batches of 4096 with its default buffer; memory is the whole process's, torch included. pyarrow "
        f"alone reads {result.arrow_rows_a_second:,.0f} rows a second of it into Arrow tables. By "
        "`python -m benchmarks.layout`.",
        "",
        "| rows a row group | row groups a file | compression | MiB | rows a second | first batch, s | peak GiB |",
        "| ---: | ---: | --- | ---: | ---: | ---: | ---: |",
    ]
    for layout in result.layouts:
        cells = (
            f"{layout.rows_a_group:,}", f"{layout.groups_a_file}", layout.compression, f"{layout.bytes / 2**20:,.0f}",
            f"{layout.rows_a_second:,.0f}", f"{layout.first_batch:.1f}", f"{layout.peak_gib:.2f}",
        )  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, "", str(result.machine), ""])


def main(
    space: options.Space = COMPARED,
    warehouse: options.Warehouse = options.DEFAULT_WAREHOUSE,
    group: options.Group = options.DEFAULT_GROUP,
    rows: Annotated[int, typer.Option("--rows", help="Of the table, so many.")] = 400_000,
    scratch: Scratch = None,
    out: Out = Path("docs/results/layout.md"),
) -> None:
    """Write and stream the published training table (run `lattice build` first)."""
    target = Target.parse(space, warehouse, group)
    manifest = current_manifest(target)
    files = [path.removeprefix("file://") for path in pinned_files(manifest.tables["training"])]
    started = time.monotonic()
    tables, found = [], 0
    for path in files:
        tables.append(pq.read_table(path))
        found += tables[-1].num_rows
        if found >= rows:
            break
    arrow = found / (time.monotonic() - started)
    table = pa.concat_tables(tables).slice(0, rows).combine_chunks()
    # The rows of several files are mixed as those of one are.
    table = table.take(np.random.default_rng(1).permutation(table.num_rows))
    with TemporaryDirectory(dir=scratch) as folder:
        layouts = compare(table, manifest, Path(folder))
    result = Layouts(
        space=space,
        rows=table.num_rows,
        arrow_rows_a_second=arrow,
        layouts=layouts,
        machine=Machine.here(),
    )
    save(result, page(result), out)
    print(page(result))


if __name__ == "__main__":
    typer.run(main)
