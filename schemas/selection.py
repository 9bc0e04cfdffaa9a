"""A selection: which features of a group are computed, laid out and trained with, from a day on (3.2.2)."""

from datetime import date, datetime
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict

Reason = Literal["must", "must_not", "limit", "frontier", "fill", "noise", "unmeasured"]
"""Why a feature was chosen, or not.

- ``must``, ``must_not``: the user said so;
- ``limit``: a limit on costs had no room for it, or it is itself beyond one;
- ``frontier``: chosen with its whole frontier, or left out because its frontier came after the target was reached;
- ``fill``: of its frontier only a part had room, and it was drawn or preferred, or not;
- ``noise``: no task's importance is above noise; ``unmeasured``: the importance does not know the feature.
"""

SELECTION = (
    "version int, effective_from date, made_at timestamp, target int, seed long, z double, criteria array<string>, "
    "options array<string>, run_id string, model string, importance_version long, data_version long, "
    "feature string, kind string, chosen boolean, position int, frontier int, reason string, pinned boolean"
)
"""The columns of the table: one row a selection and feature; the first twelve say the same in each row of one."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Decision(_Part):
    """What became of one feature."""

    feature: str
    kind: str
    chosen: bool
    position: int | None
    """In the order of choice, from 1; None if it was not chosen."""
    frontier: int
    """1, 2, ...; 0 for one that is on none."""
    reason: Reason
    pinned: bool
    """Not chosen, and still computed, because a live model reads it."""


class Selection(_Part):
    """One version of the table."""

    version: int
    """From 1."""
    effective_from: date
    """The first day (UTC) on which builds and nights follow it, unless a later one has begun."""
    made_at: datetime
    target: int
    seed: int
    z: float | None
    """How many standard errors counted as noise; None if importances were taken as exact."""
    criteria: tuple[str, ...]
    options: Annotated[tuple[str, ...], BeforeValidator(lambda found: found or ())] = ()
    """Limits, weights, groups and the fill, as the command was given them; rows of before have none."""
    run_id: str
    """The importance run, and the model and Delta versions of ``importance`` and ``evaluation`` behind it."""
    model: str
    importance_version: int
    data_version: int
    decisions: tuple[Decision, ...]

    @property
    def chosen(self) -> tuple[str, ...]:
        """The chosen features in the order of choice."""
        ordered = sorted((d.position, d.feature) for d in self.decisions if d.position is not None)
        return tuple(feature for _, feature in ordered)

    @property
    def pinned(self) -> tuple[str, ...]:
        """What is computed for live models alone."""
        return tuple(d.feature for d in self.decisions if d.pinned)
