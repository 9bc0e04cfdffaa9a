"""The impressions of a built group as a stream: every one of them, with the delay of its conversion."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pyspark.sql import functions as F

from benchmarks.zipper.stream import UNIFORM, Stream
from jobs.models import current_manifest
from jobs.spark_errors import explained
from jobs.target import Target
from lattice_model.loading.rows import columns_of, decode
from pipelines.concatenation import KEYS
from pipelines.labels import outcomes
from pipelines.layout import packed
from pipelines.session import spark_session
from pipelines.tables import read_delta

_DAY = np.timedelta64(1, "D")


def write_stream(target: Target, objective: str, folder: str) -> None:
    """Write the unified rows of the objective's domains as Parquet, in the layout of ``training``.

    ``available_time`` is when the first conversion was known; null: never.
    """
    manifest, space = current_manifest(target), target.space
    declared = space.objectives[objective]
    with explained():
        spark = spark_session("benchmark")
        unified, feedback = (
            read_delta(spark, table.uri, table.version)
            for table in (manifest.tables["unified"], manifest.tables["feedback"])
        )
        # Only those whose longest window was observed to its end: the truth must be known.
        assert declared.oracle is not None, f"{objective} has no windows"
        last = declared.observed.end - declared.oracle
        shown = unified.where(
            F.col("domain").isin(*declared.domains)
            & (F.col("impression_time") >= F.lit(declared.observed.start))
            & (F.col("impression_time") < F.lit(last))
        )
        outcomes(shown.select(*KEYS), feedback, {objective: declared}).write.parquet(f"{folder}/outcomes")
        found = spark.read.parquet(f"{folder}/outcomes").select("impression_id", f"arrival_{objective}")
        labelled = shown.join(found, on="impression_id", how="left").withColumnRenamed(
            f"arrival_{objective}", "available_time"
        )
        no_label = {f"label_{name}": F.lit(None).cast("float") for name in space.group_objectives(target.group)}
        packed(labelled.withColumns(no_label), space, target.group, 8).write.parquet(f"{folder}/rows")


def read_stream(target: Target, objective: str, folder: str) -> Stream:
    """What was written, in the order of time (and then of ids)."""
    whole = current_manifest(target)
    windows = next(part.windows for part in whole.objectives if part.name == objective)
    manifest = whole.model_copy(update={"objectives": tuple(o for o in whole.objectives if o.name == objective)})
    keys = ("impression_id", "impression_time", "available_time")
    table = pq.read_table(sorted(Path(folder, "rows").glob("*.parquet")), columns=list(columns_of(manifest, keys)))
    table = table.sort_by([("impression_time", "ascending"), ("impression_id", "ascending")])
    decoded = decode({name: _numpy(table[name]) for name in table.column_names}, manifest, keys)
    arrays = {name: array for name, array in decoded.items() if not name.startswith("key/")}
    shown, converted = (decoded[f"key/{name}"].astype("datetime64[us]") for name in keys[1:])
    start = shown.min().astype("datetime64[D]")
    lengths = _days(target, windows)
    delay_R = np.where(np.isnat(converted), np.inf, (converted - shown) / _DAY)
    delay_R[delay_R > lengths[-1]] = np.inf
    return Stream(
        started=start.astype(object),
        manifest=manifest,
        arrays=arrays,
        shown_R=(shown - start) / _DAY,
        delay_R=delay_R,
        windows=lengths,
        assigned={UNIFORM: arrays["window"]},
    )


def _days(target: Target, windows: tuple[str, ...]) -> tuple[float, ...]:
    group = target.space.groups[target.group].windows
    assert len(group) == len(windows), "the objective must use every window of its group"
    return tuple(window / timedelta(days=1) for window in group)


def _numpy(column: pa.ChunkedArray) -> NDArray[Any]:
    values: NDArray[Any] = column.to_numpy()
    return values
