"""The rows that importance is measured on, and the importance table from finished pieces (paper 3.2.2)."""

from datetime import datetime

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from schemas.importance import IMPORTANCE, NE

PIECE = (
    "feature string, kind string, domain string, objective string, mean double, standard_error double, rows long, "
    "repeats long"
)
"""The columns of a finished piece."""


def validation_rows(evaluation: DataFrame, rows: int, seed: int) -> DataFrame:
    """At most so many validation rows, as evenly shared among the domains as these have rows, drawn by a hash.

    Every portfolio is judged within its domain, so a small domain should not be left with few rows. A larger number
    keeps the rows of a smaller one.
    """
    draw = F.xxhash64(F.lit("importance"), F.lit(seed), F.col("impression_id"))
    order = Window.partitionBy("domain_index").orderBy(draw, "impression_id")
    ranked = evaluation.where(F.col("split") == "validation").select("*", F.row_number().over(order).alias("_rank"))
    return ranked.orderBy("_rank", "domain_index").limit(rows).drop("_rank")


def importance_rows(pieces: DataFrame, run_id: str, model: str, data_version: int, computed_at: datetime) -> DataFrame:
    """The table's rows of one run; its pieces have the columns of ``PIECE``."""
    known = {
        "run_id": F.lit(run_id),
        "model": F.lit(model),
        "data_version": F.lit(data_version).cast("long"),
        "metric": F.lit(NE),
        "computed_at": F.lit(computed_at),
    }
    return pieces.select(*(known.get(column.name, F.col(column.name)).alias(column.name) for column in IMPORTANCE))
