"""Every impression before a cut with its oracle labels: what is lost to the Zipper, which a peer may train on."""

from pathlib import Path

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.spark_errors import explained
from pipelines.labels import immediate_label, windowed_label
from pipelines.layout import PARQUET_OPTIONS, file_count, packed
from pipelines.session import spark_session
from pipelines.tables import read_delta
from schemas.manifest import TrainingManifest
from schemas.space import ModelSpace


def with_oracle_labels(rows: DataFrame, outcomes: DataFrame, space: ModelSpace, group: str) -> DataFrame:
    """Unified rows with every objective's oracle label, and no window.

    Whether a label was known by some moment is not looked at here: ``available_time`` is the impression's time.
    """
    labels = []
    for name in space.group_objectives(group):
        objective = space.objectives[name]
        if objective.oracle is None:
            labels.append(immediate_label(name, objective))
        else:
            labels.append(windowed_label(name, objective, objective.oracle))
    added = [F.lit(None).cast("string").alias("window"), F.col("impression_time").alias("available_time")]
    # One row an impression in outcomes: the join keeps the number of rows.
    return rows.join(outcomes, on="impression_id", how="left").select(*rows.columns, *added, *labels)


def write_closed_rows(space: ModelSpace, group: str, manifest: TrainingManifest, folder: str) -> list[str]:
    """Write them in the layout of ``training``, from the versions that the manifest pins; return the Parquet files."""
    with explained():
        spark = spark_session("benchmark")
        unified, outcomes = (
            read_delta(spark, table.uri, table.version)
            for table in (manifest.tables["unified"], manifest.tables["outcomes"])
        )
        before = unified.where(F.col("impression_time") < F.lit(manifest.cuts["test"]))
        labelled = with_oracle_labels(before, outcomes, space, group)
        laid_out = packed(labelled, space, group, file_count(manifest.tables["unified"].rows))
        laid_out.write.options(**PARQUET_OPTIONS).parquet(folder)
    return sorted(str(path) for path in Path(folder).glob("*.parquet"))
