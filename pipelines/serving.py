"""Scores of rows: from a table's columns to what an exported model takes, and what it gives back."""

from collections.abc import Callable, Iterable

import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pipelines.concatenation import KEYS
from pipelines.layout import padded_sequence, position
from schemas.errors import LatticeError
from schemas.manifest import SequenceInput
from schemas.serving import ServingLayout

SCORES = (
    "impression_id long, domain string, user_id string, item_id string, impression_time timestamp, objective string, "
    "window string, probability float, model string"
)
Scorer = Callable[[Iterable[pa.RecordBatch]], Iterable[pa.RecordBatch]]


def scores(rows: DataFrame, layout: ServingLayout, scorer: Scorer) -> DataFrame:
    """One row (``SCORES``) an impression and objective of its domain.

    Args:
        rows: keys and features, as ``unified``, ``zipped``, ``evaluation`` and ``training`` have them.
        layout: the exported model's.
        scorer: takes Arrow batches of ``servable`` rows and gives scores; it is sent to the workers.

    Raises:
        LatticeError: a column is missing or of another type.
    """
    return servable(rows, layout).mapInArrow(scorer, SCORES)


def servable(rows: DataFrame, layout: ServingLayout) -> DataFrame:
    """Keys, ``domain_index`` and the features as the layout names them; no rows of domains that the model lacks."""
    _require(rows, layout)
    sequences: list[Column] = []
    for s in layout.sequences:
        ids, numbers = [part.field for part in s.ids], [part.field for part in s.dense]
        if s.length_column in rows.columns:
            sequences += [F.col(name) for name in (s.length_column, *_columns(s))]
        else:
            sequences += padded_sequence(s.name, s.length, ids, numbers)
    return rows.where(F.col("domain").isin(*layout.domains)).select(
        *KEYS,
        position(F.col("domain"), layout.domains).alias("domain_index"),
        *(part.column for part in layout.categorical),
        *(part.column for part in layout.dense),
        *sequences,
    )


def _require(rows: DataFrame, layout: ServingLayout) -> None:
    kinds = dict.fromkeys(KEYS, "") | {"impression_id": "bigint", "impression_time": "timestamp"}
    kinds |= {part.column: "bigint" for part in layout.categorical} | {part.column: "float" for part in layout.dense}
    kinds |= {name: "binary" for s in layout.sequences for name in _columns(s)}
    found = dict(rows.dtypes)
    for name, kind in kinds.items():
        if name not in found:
            problem = f"The column '{name}' is missing, which model {layout.model} takes."
        elif kind and found[name] != kind:
            problem = f"The column '{name}' holds {found[name]}; {kind} is needed."
        else:
            continue
        raise LatticeError(
            "the table to score", problem, "Score unified or evaluation rows of the space that the model was made for."
        )


def _columns(sequence: SequenceInput) -> list[str]:
    return [*(part.column for part in sequence.ids), *(part.column for part in sequence.dense)]
