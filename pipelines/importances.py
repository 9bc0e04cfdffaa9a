"""One run of the ``importance`` table as the arrays that a selection compares.

Shapes: F candidate features of the space, N tasks.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipelines.frontiers import Floats
from schemas.errors import LatticeError
from schemas.narrowing import Candidate, candidates
from schemas.space import ModelSpace

Task = tuple[str, str]
"""(domain, objective)"""


@dataclass(frozen=True, kw_only=True, eq=False)
class Importances:
    """What one run measured of every candidate; what it does not know has importance 0."""

    run_id: str
    model: str
    data_version: int
    metric: str
    rows: int
    """Of the task with the most."""
    repeats: int
    computed_at: datetime
    tasks: tuple[Task, ...]
    candidates: tuple[Candidate, ...]
    means: Floats
    """(F, N) 0 where the task's domain lacks the feature."""
    standard_errors: Floats
    """(F, N)"""
    measured: NDArray[np.bool_]
    """(F,) Whether the run knows the feature."""

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(candidate.name for candidate in self.candidates)


def shares(means_FN: Floats) -> Floats:
    """(F, N) What share of a task's importance each feature has; a negative importance is none."""
    worth_FN = np.maximum(means_FN, 0.0)
    totals_N = worth_FN.sum(0)
    found_FN: Floats = worth_FN / np.where(totals_N > 0, totals_N, 1.0)
    return found_FN


def importances(table: pa.Table, space: ModelSpace, run_id: str | None = None) -> Importances:
    """The run of that name, or the latest one.

    Args:
        table: rows of ``importance``.

    Raises:
        LatticeError: there is no such run; it measured what the space does not have, left out a task of a feature, or
            holds what is no number.
    """
    rows = _run(table, run_id)
    every = candidates(space)
    names = [candidate.name for candidate in every]
    remedy = "Run `lattice importance` again for the tables and the model of today."
    if groups := sorted(set(rows["feature"][rows["kind"] == "group"])):
        problem = f"It measured '{groups[0]}' as one feature, and a selection decides each feature by itself."
        raise LatticeError(
            f"importance run '{rows['run_id'].iloc[0]}'", problem, "Run `lattice importance` without groups."
        )
    if strange := sorted(set(rows["feature"]) - set(names)):
        problem = f"It measured '{strange[0]}' ({len(strange):,} such features), which the space does not have."
        raise LatticeError(f"importance run '{rows['run_id'].iloc[0]}'", problem, remedy)
    tasks = list(dict.fromkeys(zip(rows["domain"], rows["objective"], strict=True)))
    means, errors = _wide(rows, "mean", names, tasks), _wide(rows, "standard_error", names, tasks)
    measured = np.isin(names, rows["feature"])
    present = np.array([[domain in candidate.domains for domain, _ in tasks] for candidate in every])
    missing = np.isnan(means)
    wanted = measured[:, None] & present
    _refuse(wanted & missing, names, tasks, "was not measured, or is no number", remedy)
    _refuse(wanted & ~np.isfinite(np.where(missing, 0, means)), names, tasks, "is infinite", remedy)
    _refuse(
        wanted & ~(np.isfinite(errors) & (np.nan_to_num(errors) >= 0)), names, tasks,
        "has no standard error", "Measure it with `lattice importance` over two or more repeats.",
    )  # fmt: skip
    first = rows.iloc[0]
    return Importances(
        run_id=str(first["run_id"]),
        model=str(first["model"]),
        data_version=int(first["data_version"]),
        metric=str(first["metric"]),
        rows=int(rows["rows"].max()),
        repeats=int(rows["repeats"].max()),
        computed_at=first["computed_at"].to_pydatetime(),
        tasks=tuple(tasks),
        candidates=every,
        means=np.where(wanted, means, 0.0),
        standard_errors=np.where(wanted, errors, 0.0),
        measured=measured,
    )


def _run(table: pa.Table, run_id: str | None) -> pd.DataFrame:
    known = (
        table.group_by("run_id").aggregate([("computed_at", "max")]).sort_by("computed_at_max")["run_id"].to_pylist()
    )
    if not known or (run_id is not None and run_id not in known):
        raise LatticeError(
            f"--run {run_id or ''}".rstrip(),
            "There is no such importance run.",
            f"Known: {', '.join(known) or 'none'}.",
        )
    chosen = run_id if run_id is not None else known[-1]
    rows: pd.DataFrame = table.filter(pc.equal(table["run_id"], chosen)).to_pandas()
    return rows


def _wide(rows: pd.DataFrame, values: str, names: list[str], tasks: Iterable[Task]) -> Floats:
    """(F, N), NaN where there is no row; the table holds each (feature, task) of a run once."""
    wide = rows.pivot(index="feature", columns=["domain", "objective"], values=values)
    found: Floats = wide.reindex(index=names, columns=pd.MultiIndex.from_tuples(tasks)).to_numpy(dtype=np.float64)
    return found


def _refuse(wrong_FN: NDArray[np.bool_], names: list[str], tasks: list[Task], problem: str, remedy: str) -> None:
    if len(where := np.argwhere(wrong_FN)):
        feature, task = where[0]
        place = f"importance of '{names[feature]}' to {'/'.join(tasks[task])}"
        raise LatticeError(place, f"It {problem}; {len(where):,} such values in all.", remedy)
