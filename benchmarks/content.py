"""What a table holds as one number, whatever the order of its rows and their files."""

from pydantic import BaseModel, ConfigDict
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from jobs.build import STAGES
from jobs.target import Target
from pipelines.tables import read, require


class Content(BaseModel):
    """How many rows there are, and the sum of their hashes over all columns."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rows: int
    digest: str


def contents(spark: SparkSession, target: Target) -> dict[str, Content]:
    """The content of every table of a build, by name."""
    found = {}
    for uri in (uri for stage in STAGES for uri in stage.tables(target)):
        rows = read(spark, require(uri, "lattice build"))
        # By name: the order of columns is no matter either.
        hashed = F.xxhash64(*(F.col(name) for name in sorted(rows.columns))).cast("decimal(38,0)")
        count, digest = rows.agg(F.count(F.lit(1)), F.coalesce(F.sum(hashed), F.lit(0))).collect()[0]
        found[uri.rsplit("/", 1)[-1]] = Content(rows=count, digest=str(digest))
    return found
