"""How large files and row groups of the training table should be: what the loader reads a second, and how it mixes.

``python -m benchmarks.layout --warehouse W`` writes the published training table anew with several row-group sizes and
streams each one twice; the better time counts. Memory is what the shuffling buffer needs beyond one row group.
"""

import shutil
import time
from pathlib import Path
from tempfile import mkdtemp
from typing import Annotated

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import typer
from rich.console import Console

from benchmarks.counts import COMPARED
from benchmarks.quality_result import Machine
from benchmarks.results import Out, Result, save
from jobs import options
from jobs.memory import PeakMemory
from jobs.models import current_manifest, pinned_files
from jobs.target import Target
from lattice_model.loader import Loader
from schemas.manifest import TrainingManifest

console = Console(stderr=True)


class Layout(Result):
    """One way of laying the table out, and what reading it took."""

    rows_a_group: int
    groups_a_file: int
    compression: str
    bytes: int
    rows_a_second: float
    first_batch: float
    """Seconds until the first batch."""
    peak_gib: float


class Layouts(Result):
    """Everything that was measured."""

    space: str
    rows: int
    arrow_rows_a_second: float
    """What pyarrow reads of the same columns, into Arrow tables and no further."""
    machine: Machine
    layouts: tuple[Layout, ...]


def measure(
    table: pa.Table, manifest: TrainingManifest, folder: Path, rows_a_group: int, groups_a_file: int, compression: str
) -> Layout:
    """Write the table so, and stream it."""
    files, size = [], rows_a_group * groups_a_file
    for number, start in enumerate(range(0, table.num_rows, size)):
        path = folder / f"part-{number:04}.parquet"
        coded = [name for name in table.column_names if not pa.types.is_floating(table.schema.field(name).type)]
        part = table.slice(start, size)
        pq.write_table(part, path, row_group_size=rows_a_group, compression=compression, use_dictionary=coded)
        files.append(str(path))
    loader = Loader(files, manifest, batch_size=4096)
    seconds, first = [], []
    with PeakMemory() as memory:
        for epoch in range(2):
            started = time.monotonic()
            batches = loader.epoch(epoch)
            next(batches)
            first.append(time.monotonic() - started)
            for _ in batches:
                pass
            seconds.append(time.monotonic() - started)
    found = Layout(
        rows_a_group=rows_a_group,
        groups_a_file=groups_a_file,
        compression=compression,
        bytes=sum(path.stat().st_size for path in folder.glob("*.parquet")),
        rows_a_second=loader.rows / min(seconds),
        first_batch=min(first),
        peak_gib=memory.peak / 2**30,
    )
    for file in files:
        Path(file).unlink()
    return found


def page(result: Layouts) -> str:
    """The result as Markdown."""
    lines = [
        "# How the training table is laid out",
        "",
        f"The training table of `{result.space}`, {result.rows:,} rows, written in several ways and streamed by the "
        f"loader in batches of 4096 with its default buffer. pyarrow alone reads {result.arrow_rows_a_second:,.0f} "
        "rows a second of it into Arrow tables. By `python -m benchmarks.layout`.",
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
    folder = Path(mkdtemp(prefix="lattice-layout-"))
    layouts = []
    try:
        for rows_a_group, groups, compression in (
            (5_000, 10, "snappy"), (10_000, 10, "snappy"), (20_000, 5, "snappy"), (40_000, 5, "snappy"),
            (80_000, 2, "snappy"), (40_000, 1, "snappy"), (40_000, 5, "zstd"), (40_000, 5, "none"),
        ):  # fmt: skip
            layouts.append(measure(table, manifest, folder, rows_a_group, groups, compression))
            console.print(f"{rows_a_group}, {compression}: {layouts[-1].rows_a_second:,.0f} rows/s", highlight=False)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    result = Layouts(
        space=space,
        rows=table.num_rows,
        arrow_rows_a_second=arrow,
        machine=Machine.here(),
        layouts=tuple(layouts),
    )
    save(result, page(result), out)
    print(page(result))


if __name__ == "__main__":
    typer.run(main)
