"""Of Parquet files, a Delta table's too, rows from all over."""

from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as pa_dataset

from pipelines.guessing.spreading import spread
from pipelines.tables import delta_files

ROWS = 100_000


def open_parquet(path: Path, delta: bool) -> pa_dataset.Dataset:
    """The files that lie there, or those of a Delta table's latest version; folders such as day=1 give a column."""
    source = delta_files(str(path)) if delta else str(path)
    base = str(path.absolute()) if delta else None
    return pa_dataset.dataset(source, format="parquet", partitioning="hive", partition_base_dir=base)


def read_parquet(dataset: pa_dataset.Dataset) -> tuple[pa.Table, bool]:
    """The first rows of row groups from all over, and whether these are all rows."""
    every = list(dataset.get_fragments())
    files = spread(every)
    groups = [group for file in files for group in file.split_by_row_group()]
    pieces = spread(groups)
    whole = len(files) == len(every) and sum(group.row_groups[0].num_rows for group in groups) <= ROWS
    if not pieces or whole:
        return dataset.to_table(use_threads=False), True
    share = ROWS // len(pieces)
    heads = [piece.scanner(schema=dataset.schema, batch_size=share).head(share) for piece in pieces]
    return pa.concat_tables(heads), False


def nanoseconds(dataset: pa_dataset.Dataset) -> frozenset[str]:
    """The columns of 64-bit nanoseconds; Spark reads the older ones of 96 bits."""
    schema = next(dataset.get_fragments()).metadata.schema
    columns = (schema.column(number) for number in range(len(schema)))
    fine = {field.name for field in dataset.schema if pa.types.is_timestamp(field.type) and field.type.unit == "ns"}
    return frozenset(column.path for column in columns if column.path in fine and column.physical_type == "INT64")
