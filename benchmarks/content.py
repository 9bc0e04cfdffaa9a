"""What a table holds as one number, whatever the order of its rows and their files."""

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from benchmarks.results import Result
from jobs.build import STAGES
from jobs.target import Target
from pipelines.tables import read, require


class Content(Result):
    """How many rows there are, and the sum of their hashes over all columns."""

    rows: int
    digest: str


def contents(spark: SparkSession, target: Target) -> dict[str, Content]:
    """The content of every table of a build, by name."""
    uris = (uri for stage in STAGES for uri in stage.tables(target))
    return {uri.rsplit("/", 1)[-1]: content(read(spark, require(uri, "lattice build"))) for uri in uris}


def content(rows: DataFrame) -> Content:
    """The content of any rows: the order of rows and of columns is no matter."""
    hashed = F.xxhash64(*(F.col(name) for name in sorted(rows.columns))).cast("decimal(38,0)")
    count, digest = rows.agg(F.count(F.lit(1)), F.coalesce(F.sum(hashed), F.lit(0))).collect()[0]
    return Content(rows=count, digest=str(digest))
