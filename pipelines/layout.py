"""The layout that Petastorm reads fast: scalar columns, and each sequence field padded to one fixed-size binary.

STACK's measurement behind it: list columns are read six times slower than scalars, fixed-size binaries nearly as fast.
"""

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from schemas.duration import format_duration
from schemas.features import (
    CategoricalColumn,
    DenseColumn,
    SequenceColumns,
    categorical_columns,
    dense_columns,
    sequence_columns,
)
from schemas.manifest import (
    CategoricalInput,
    DenseInput,
    ObjectiveLabel,
    SequenceId,
    SequenceInput,
    SequenceNumber,
)
from schemas.space import ModelSpace

# Large enough to read in few calls, small enough that a few of them mix well and fit in memory.
ROWS_PER_FILE = 250_000
ID_BYTES, NUMBER_BYTES = 8, 4
# Of a row group, before compression: what Spark makes of its limit below, which counts compressed bytes.
GROUP_BYTES = 96 * 1024 * 1024
# The loader reads Zstandard as fast as Snappy, in three quarters of the bytes (docs/results/layout.md).
PARQUET_OPTIONS = {"compression": "zstd", "parquet.block.size": str(48 * 1024 * 1024)}


def file_count(rows: int) -> int:
    """How many files ``rows`` rows are laid out in."""
    return max(1, -(-rows // ROWS_PER_FILE))


def packed(rows: DataFrame, space: ModelSpace, group: str, files: int) -> DataFrame:
    """``zipped`` or ``evaluation`` rows in the training layout, mixed by a hash of their id.

    A reader that takes the files in any order sees rows of all times and users; no shuffle is needed then. The order
    of rows and their share among ``files`` depend on the ids alone.
    """
    domains = space.group_domains(group)
    windows = [format_duration(window) for window in space.groups[group].windows]
    keys = ["impression_id", "domain", "user_id", "item_id", "impression_time", "available_time"]
    columns = [
        *(F.col(key) for key in keys),
        position(F.col("domain"), domains).alias("domain_index"),
        position(F.col("window"), windows).alias("window_index"),
        *([F.col("split")] if "split" in rows.columns else []),
        F.col("weight") if "weight" in rows.columns else F.lit(1.0).cast("float").alias("weight"),
        *(F.col(f"label_{name}") for name in space.group_objectives(group)),
        *(F.col(feature.name) for feature in categorical_columns(space)),
        *(F.col(feature.name) for feature in dense_columns(space)),
        *(column for f in sequence_columns(space) for column in padded_sequence(f.name, f.length, [*f.ids], f.dense)),
    ]
    order = F.xxhash64(F.lit("order"), F.col("impression_id"))
    # By the id first, padded after: what is shuffled is the shorter form.
    mixed = rows.repartition(files, order).sortWithinPartitions(order)
    return mixed.select(*columns)


def inputs(
    space: ModelSpace, group: str
) -> tuple[tuple[CategoricalInput, ...], tuple[DenseInput, ...], tuple[SequenceInput, ...]]:
    """Which column of the layout holds which feature, for the manifest."""
    categorical = tuple(
        CategoricalInput(
            name=f.name, column=f.name, id_space=f.id_space, size=f.size, domains=_in_group(f, space, group)
        )
        for f in categorical_columns(space)
    )
    dense = tuple(
        DenseInput(name=f.name, column=f.name, domains=_in_group(f, space, group)) for f in dense_columns(space)
    )
    sequences = tuple(
        SequenceInput(
            name=f.name,
            length=f.length,
            length_column=f"{f.name}_length",
            ids=tuple(
                SequenceId(field=field, column=f"{f.name}_{field}", id_space=id_space, size=size)
                for field, (id_space, size) in f.ids.items()
            ),
            dense=tuple(SequenceNumber(field=field, column=f"{f.name}_{field}") for field in f.dense),
            domains=_in_group(f, space, group),
        )
        for f in sequence_columns(space)
    )
    return categorical, dense, sequences


def row_bytes(space: ModelSpace) -> dict[str, int]:
    """How many bytes each feature takes in a row of the layout, before compression."""
    sizes = {feature.name: ID_BYTES for feature in categorical_columns(space)}
    sizes |= {feature.name: NUMBER_BYTES for feature in dense_columns(space)}
    for sequence in sequence_columns(space):
        event = ID_BYTES * len(sequence.ids) + NUMBER_BYTES * len(sequence.dense)
        sizes[sequence.name] = NUMBER_BYTES + sequence.length * event
    return sizes


def rows_per_group(space: ModelSpace) -> int:
    """How many rows of the layout a row group has, about."""
    return max(1, GROUP_BYTES // sum(row_bytes(space).values()))


def labels(space: ModelSpace, group: str) -> tuple[ObjectiveLabel, ...]:
    """The label columns of the group's objectives, for the manifest."""
    portfolios = space.portfolios(group)
    return tuple(
        ObjectiveLabel(
            name=name,
            column=f"label_{name}",
            windows=tuple(format_duration(window) for window in space.objectives[name].windows),
            domains=tuple(domain for domain, objective in portfolios if objective == name),
        )
        for name in space.group_objectives(group)
    )


def _in_group(
    feature: CategoricalColumn | DenseColumn | SequenceColumns, space: ModelSpace, group: str
) -> tuple[str, ...]:
    return tuple(domain for domain in space.group_domains(group) if domain in feature.domains)


def position(value: Column, names: Sequence[str]) -> Column:
    """The position of a name among ``names`` (int), -1 where it is null or not among them."""
    found = F.lit(-1)
    for index, name in enumerate(names):
        found = F.when(value == name, F.lit(index)).otherwise(found)
    return found.cast("int")


def padded_sequence(name: str, length: int, ids: Sequence[str], numbers: Sequence[str]) -> list[Column]:
    """How many events there are, and each field with zeros after the last, up to the declared length."""
    # A field that was declared later is empty in the rows before; one that was longer then is cut.
    counted = [F.octet_length(f"{name}_{field}") / ID_BYTES for field in ids]
    filled = F.least(F.greatest(*counted, F.lit(0)), F.lit(length))
    columns = [filled.cast("int").alias(f"{name}_length")]
    for field in (*ids, *numbers):
        column, width = f"{name}_{field}", ID_BYTES if field in ids else NUMBER_BYTES
        columns.append(F.rpad(column, width * length, F.lit(b"\0")).alias(column))
    return columns
