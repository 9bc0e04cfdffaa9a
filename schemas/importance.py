"""The ``importance`` table of a group: what each feature is worth to each task (paper 3.2.2).

The importance of a feature to a task is the increase of the task's metric when the feature's values are permuted among
the rows of each domain: larger is more important, 0 is worth nothing, below 0 the model would do better without it.
"""

from typing import Any, Literal

from schemas.expectations import Expectation
from schemas.tables import TableColumn

FeatureKind = Literal["categorical", "dense", "sequence", "group"]
KINDS: tuple[FeatureKind, ...] = ("categorical", "dense", "sequence", "group")

NE = "ne"
"""Normalized entropy: cross entropy over that of the base rate."""

KEYS = ("run_id", "feature", "domain", "objective")
"""One row each."""

IMPORTANCE = (
    TableColumn(name="run_id", type="string"),
    TableColumn(name="model", type="string"),
    TableColumn(name="data_version", type="long"),
    TableColumn(name="feature", type="string"),
    TableColumn(name="kind", type="string"),
    TableColumn(name="domain", type="string"),
    TableColumn(name="objective", type="string"),
    TableColumn(name="metric", type="string"),
    TableColumn(name="mean", type="double"),
    TableColumn(name="standard_error", type="double"),
    TableColumn(name="rows", type="long"),
    TableColumn(name="repeats", type="long"),
    TableColumn(name="computed_at", type="timestamp"),
)
"""The columns in their order.

``run_id`` names what the numbers depend on: the same model, rows and settings give the same one. ``model`` is the
folder's name, ``data_version`` the Delta version of ``evaluation`` whose validation rows were used. ``feature`` is the
name in the manifest: a sequence source is one feature, and so is a declared group. ``mean`` is over ``repeats``
permutations of the ``rows`` of the domain that have a label of the objective. ``standard_error`` is that of the mean
under another draw of users as well as of permutations.
"""


def importance_suite() -> list[Expectation]:
    """What must hold of a run before it is published."""
    unknown = "a number without it says nothing"
    return [
        Expectation(kind="not_empty", column="run_id", why="nothing could be selected by it"),
        *(Expectation(kind="not_null", column=column.name, why=unknown) for column in IMPORTANCE),
        _expected("in_set", "kind", "there are no other kinds", value_set=list(KINDS)),
        _expected("in_set", "metric", "numbers of two metrics cannot be compared", value_set=[NE]),
        _expected("between", "mean", "it must be a finite number", min_value=-1e300, max_value=1e300),
        _expected("between", "standard_error", "an error is a finite number, 0 or more", min_value=0, max_value=1e300),
        _expected("between", "rows", "a task needs rows", min_value=1),
        _expected("between", "repeats", "a mean needs a permutation", min_value=1),
    ]


def _expected(kind: Literal["in_set", "between"], column: str, why: str, **arguments: Any) -> Expectation:
    return Expectation(kind=kind, column=column, why=why, arguments=arguments)
