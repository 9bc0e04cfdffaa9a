"""One feature, computed for rows that are there: everything else of them keeps its values."""

from collections.abc import Collection

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipelines.concatenation import as_declared
from schemas.features import categorical_columns, dense_columns, sequence_columns
from schemas.narrowing import narrowed, with_parts
from schemas.space import ModelSpace


def feature_types(space: ModelSpace) -> dict[str, str]:
    """Every feature column of the unified table, and its type."""
    return {
        **{feature.name: "long" for feature in categorical_columns(space)},
        **{feature.name: "float" for feature in dense_columns(space)},
        **{name: "binary" for feature in sequence_columns(space) for name in feature.columns},
    }


def only(space: ModelSpace, names: Collection[str]) -> ModelSpace:
    """The space with some features, and what the ratios among them divide."""
    return narrowed(space, with_parts(space, names))


def backfilled(
    rows: DataFrame, made: DataFrame, names: Collection[str], space: ModelSpace, group: str
) -> DataFrame:  # fmt: skip
    """Rows of ``unified`` as the space declares them, some features of them new.

    Args:
        rows: made under another space file; columns that they lack are null, empty or zero (``as_declared``).
        made: ``unified`` of the same impressions with at least these features, one row an impression.
        names: the columns that are taken from ``made``.
    """
    lacking = {name: of for name, of in feature_types(space).items() if name not in rows.columns and name not in names}
    kept = rows.drop(*names).withColumns({name: F.lit(None).cast(of) for name, of in lacking.items()})
    # One row an impression (a suite holds it): the join keeps the number of rows.
    joined = kept.join(made.select("impression_id", *names), on="impression_id", how="left")
    return as_declared(joined, space, group)
