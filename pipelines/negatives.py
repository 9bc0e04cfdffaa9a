"""Negative downsampling: of the rows without a positive label, training keeps a declared share, each for several.

A kept negative has the weight 1 / share, in the loss and in the normalisers, so that what is learned is the
distribution of all rows and predictions need no correction. Evaluation rows are never left out.
"""

from functools import reduce
from operator import or_

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipelines.sampling import is_kept, kept_share
from schemas.space import ModelSpace


def downsampled(rows: DataFrame, space: ModelSpace, group: str) -> DataFrame:
    """The rows that training keeps, with ``weight`` (float): how many rows each stands for.

    Which ones depends on their ``impression_id`` alone, and a smaller share keeps a part of what a larger one does.

    Args:
        rows: have ``impression_id``, ``domain`` and ``label_<objective>`` for every objective of the group.
    """
    weight = F.lit(1.0)
    kept = F.lit(True)
    hashed = F.xxhash64(F.lit("negatives"), F.col("impression_id"))
    for domain, share in space.groups[group].negatives.items():
        of_domain = F.col("domain") == domain
        weight = F.when(of_domain, 1.0 / kept_share(share)).otherwise(weight)
        kept = F.when(of_domain, is_kept(hashed, share)).otherwise(kept)
    positive = reduce(
        or_, (F.coalesce(F.col(f"label_{name}") == 1.0, F.lit(False)) for name in space.group_objectives(group))
    )
    chosen = rows.where(positive | kept) if space.groups[group].negatives else rows
    return chosen.withColumn("weight", F.when(positive, 1.0).otherwise(weight).cast("float"))
