"""The list of forgotten users of a space, by keyed hash: whoever is on it does not come in again from the source."""

from collections.abc import Sequence

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.target import Target
from pipelines.forgetting import FORGOTTEN, tables_without_users, without_users
from pipelines.keyed import VARIABLE, key_for, keyed_text
from pipelines.sources.base import SourceTables
from pipelines.tables import exists, read_delta, value_counts, write
from schemas.errors import LatticeError


def _key(target: Target) -> bytes:
    return key_for("forgotten", target.space.name)


def _key_id() -> str:
    """Tells one key from another, and nothing else."""
    return key_for("check of the forgotten").hex()[:16]


def check_key(target: Target) -> None:
    """Whether this environment's key is the one that the list was made with.

    Raises:
        LatticeError: it is not, or there is none; anybody on the list would come in again.
    """
    if known := [key for (key,) in value_counts(target.forgotten, "key")]:
        try:
            same = known == [_key_id()]
        except LatticeError as error:
            problem = "Users of this space were forgotten, and the list of them can be read by its key alone: "
            raise LatticeError(VARIABLE, problem + error.problem, error.remedy) from error
        if not same:
            problem = "It is not the key that the list of forgotten users was made with, so they would come in again."
            raise LatticeError(VARIABLE, problem, "Set the one that `lattice forget` was run with.")


def keep_out(tables: SourceTables, spark: SparkSession, target: Target) -> SourceTables:
    """A source's tables without those who are on the list."""
    found = _list(spark, target)
    return tables if found is None else tables_without_users(tables, found, _key(target))


def keep_out_of(rows: DataFrame, target: Target) -> DataFrame:
    """Rows with a ``user_id`` as the source has it, but for those of users on the list."""
    found = _list(rows.sparkSession, target)
    return rows if found is None else without_users(rows, found, _key(target))


def listed(spark: SparkSession, target: Target, users: Sequence[str]) -> list[str]:
    """Who of the users is on the list."""
    found = _list(spark, target)
    if found is None:
        return []
    hashes = dict(zip(hashed(target, users), users, strict=True))
    asked = spark.createDataFrame([(value,) for value in hashes], "user string")
    return [hashes[row["user"]] for row in asked.join(found, on="user", how="left_semi").collect()]


def enlist(spark: SparkSession, target: Target, users: Sequence[str], run: str) -> None:
    """Put users on the list; who is there already stays."""
    new = [user for user in users if user not in set(listed(spark, target, users))]
    if new or not exists(target.forgotten):
        # By hash: their order says nothing about who was given first.
        rows = [(value, _key_id()) for value in sorted(hashed(target, new))]
        write(spark.createDataFrame(rows, FORGOTTEN).coalesce(1), target.forgotten, append=True, note=f"run={run}")


def hashed(target: Target, users: Sequence[str]) -> list[str]:
    """The users as the list has them."""
    return [keyed_text(_key(target), user) for user in users]


def _list(spark: SparkSession, target: Target) -> DataFrame | None:
    if not exists(target.forgotten):
        return None
    check_key(target)
    return read_delta(spark, target.forgotten).where(F.col("key") == _key_id())
