"""Rows of an ``importance`` table, as tests write them down."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from schemas.narrowing import candidates
from schemas.space import ModelSpace

COMPUTED_AT = datetime(2024, 2, 8, tzinfo=UTC)
Measured = Mapping[str, Mapping[str, tuple[float, float]]]
"""Feature -> DOMAIN/OBJECTIVE -> (mean, standard error)."""


def importance_rows(
    measured: Measured, space: ModelSpace, run_id: str = "run", computed_at: datetime = COMPUTED_AT
) -> list[dict[str, Any]]:
    """One row a feature and task."""
    kinds = {candidate.name: candidate.kind for candidate in candidates(space)}
    return [
        {
            "run_id": run_id,
            "model": "a_model",
            "data_version": 3,
            "feature": feature,
            "kind": kinds.get(feature, "dense"),
            "domain": task.split("/")[0],
            "objective": task.split("/")[1],
            "metric": "ne",
            "mean": mean,
            "standard_error": error,
            "rows": 1000,
            "repeats": 4,
            "computed_at": computed_at,
        }
        for feature, of_tasks in measured.items()
        for task, (mean, error) in of_tasks.items()
    ]


def importance_table(measured: Measured, space: ModelSpace, **of_run: Any) -> pa.Table:
    return pa.Table.from_pylist(importance_rows(measured, space, **of_run))
