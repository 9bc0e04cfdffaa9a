"""The Spark session: the cluster's settings where spark-submit gives them, small-machine ones where nothing does."""

import os
import sys
from pathlib import Path

import pyarrow as pa
from pyspark import SparkContext
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import StructType

_ALWAYS = {
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
    "spark.sql.session.timeZone": "UTC",
    # A join on (user, time) may use tables that are both laid out by user: no second shuffle.
    "spark.sql.requireAllClusterKeysForCoPartition": "false",
    "spark.sql.execution.arrow.pyspark.enabled": "true",
    # What a folder is called, store=007, is text: a guessed number would have lost what an id is made of.
    "spark.sql.sources.partitionColumnTypeInference.enabled": "false",
    # Of rows that a plan holds itself Spark computes what it can while it plans, walking a list of the columns for each
    # column of each row. So it may hold a few of them only.
    "spark.sql.execution.arrow.localRelationThreshold": "1m",
    # Where in our code each column was made is told to the JVM otherwise, and IPython is looked for before, with every
    # word about a column, which thousands of them feel.
    "spark.python.sql.dataFrameDebugging.enabled": "false",
    # Of a new table's first columns, the keys, times and windows that readers ask for, Delta keeps each file's least
    # and greatest value. Those of a hundred features would cost a twentieth of the time of writing.
    "spark.databricks.delta.properties.defaults.dataSkippingNumIndexedCols": "8",
}

# Measured on 2 cores: a first Delta write of 1 M rows takes 10 s with these, 32 s with Spark's defaults.
_SMALL_MACHINE = {
    "spark.driver.memory": os.environ.get("LATTICE_DRIVER_MEMORY", "4g"),
    "spark.sql.shuffle.partitions": "16",
    "spark.databricks.delta.snapshotPartitions": "2",
    # Parts of an eighth of a gigabyte, the default, leave one core idle while the other reads the last one.
    "spark.sql.files.maxPartitionBytes": str(32 * 1024 * 1024),
    "spark.ui.enabled": "false",
    "spark.driver.host": "localhost",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.extraJavaOptions": " ".join(
        [
            f"-Dlog4j2.configurationFile={Path(__file__).with_name('log4j2.properties')}",
            os.environ.get("LATTICE_JAVA_OPTIONS", ""),
        ]
    ).strip(),
    "spark.ui.showConsoleProgress": "false",
    # A table of this size, once written, is sent to every task rather than shuffled with the one that it meets. In
    # memory it is several times as large as its files: without the factor 31 M keys, 60 MB of them, filled the heap.
    "spark.sql.sources.fileCompressionFactor": "8.0",
    "spark.sql.autoBroadcastJoinThreshold": str(192 * 1024 * 1024),
}

_MANY_COLUMNS = 1_000


def spark_session(name: str) -> SparkSession:
    """The session of this process, made on first call.

    Under spark-submit the master and everything that was given there hold; otherwise it is local[*].
    """
    builder = SparkSession.builder.appName(f"lattice {name}")
    submitted = "SPARK_ENV_LOADED" in os.environ
    if not submitted:
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
        builder = builder.master(os.environ.get("LATTICE_MASTER", "local[*]"))
        for key, value in _SMALL_MACHINE.items():
            builder = builder.config(key, value)
    for key, value in _ALWAYS.items():
        builder = builder.config(key, value)
    return builder.getOrCreate()


def plan_for(spark: SparkSession, columns: int) -> None:
    """Have Spark plan what tables with so many columns need.

    What it knows of each column, such as that it is null in a domain that lacks it, it compares with all that it knows
    of the others, to infer filters: with thousands of columns that takes minutes, and finds nothing.
    """
    spark.conf.set("spark.sql.constraintPropagation.enabled", str(columns < _MANY_COLUMNS).lower())


def in_memory(spark: SparkSession, rows: pa.Table, schema: StructType) -> DataFrame:
    """Rows as a DataFrame that holds them itself."""
    # In one piece: Spark takes an empty batch, as a filter leaves them, for the end of the rows.
    return spark.createDataFrame(rows.combine_chunks(), schema)


def give_back_memory() -> None:
    """Have the JVM give its free heap back to the system, if this process has started one.

    For a process that goes on with something else: an idle JVM keeps all the memory that it once took.
    """
    jvm = SparkContext._jvm
    if jvm is not None:
        jvm.System.gc()
