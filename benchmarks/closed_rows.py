"""Every impression before a cut with its oracle labels: what is lost to the Zipper, which a peer may train on."""

from pathlib import Path

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.spark_errors import explained
from pipelines.concatenation import KEYS
from pipelines.labels import immediate_label, outcomes, windowed_label
from pipelines.layout import PARQUET_OPTIONS, file_count, packed
from pipelines.session import spark_session
from pipelines.tables import read_delta
from schemas.manifest import TrainingManifest
from schemas.space import ModelSpace


def with_oracle_labels(rows: DataFrame, found: DataFrame, space: ModelSpace, group: str) -> DataFrame:
    """Unified rows with every objective's oracle label from their outcomes, and no window.

    Whether a label was known by some moment is not looked at here: ``available_time`` is the impression's time.
    """
    labels = []
    for name in space.group_objectives(group):
        objective = space.objectives[name]
        if objective.oracle is None:
            labels.append(immediate_label(name, objective, "impression_time"))
        else:
            labels.append(windowed_label(name, objective, objective.oracle))
    added = [F.lit(None).cast("string").alias("window"), F.col("impression_time").alias("available_time")]
    arrivals = [column for column in found.columns if column.startswith("arrival_")]
    # One row an impression in ``found``: the join keeps the number of rows.
    return rows.join(found.select("impression_id", *arrivals), on="impression_id", how="left").select(
        *(c for c in rows.columns if c != "window"), *added, *labels
    )


def write_closed_rows(space: ModelSpace, group: str, manifest: TrainingManifest, folder: str) -> list[str]:
    """Write them in the layout of ``training``, from the versions that the manifest pins; return the Parquet files."""
    with explained():
        spark = spark_session("benchmark")
        unified, feedback = (
            read_delta(spark, table.uri, table.version)
            for table in (manifest.tables["unified"], manifest.tables["feedback"])
        )
        before = unified.where(F.col("impression_time") < F.lit(manifest.cuts["test"]))
        objectives = {name: space.objectives[name] for name in space.group_objectives(group)}
        # Written first: of a written table Spark knows the size, and need not shuffle the wide rows to join it.
        outcomes(unified.select(*KEYS), feedback, objectives).write.parquet(f"{folder}/outcomes")
        labelled = with_oracle_labels(before, spark.read.parquet(f"{folder}/outcomes"), space, group)
        laid_out = packed(labelled, space, group, file_count(manifest.tables["unified"].rows))
        laid_out.write.options(**PARQUET_OPTIONS).parquet(f"{folder}/rows")
    return sorted(str(path) for path in Path(folder, "rows").glob("*.parquet"))
