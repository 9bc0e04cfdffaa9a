"""What the report of a selection is about, as arrays.

Shapes: F candidate features, N tasks.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from pipelines.frontiers import Floats, Ints
from pipelines.importances import Importances
from schemas.selection import Selection


@dataclass(frozen=True, kw_only=True, eq=False)
class Facts:
    """A selection and what it was made from."""

    space: str
    title: str
    group: str
    selection: Selection
    found: Importances
    sizes: tuple[int, ...]
    """Of frontier 1, 2, ..."""
    order: Ints
    """(<= F,) The order of choice, beyond the target too."""
    share: Floats
    """(F,) Of resamples, in which each feature is chosen."""
    resamples: int
    row_bytes: Ints
    """(F,) In a row of the layout, before compression."""
    warnings: tuple[str, ...] = ()

    @property
    def tasks(self) -> tuple[str, ...]:
        return tuple(f"{domain} · {objective}" for domain, objective in self.found.tasks)

    @property
    def names(self) -> tuple[str, ...]:
        return self.found.names

    @cached_property
    def chosen(self) -> NDArray[np.bool_]:
        """(F,)"""
        return np.array([decision.chosen for decision in self.selection.decisions], dtype=bool)

    @cached_property
    def worth(self) -> Floats:
        """(F, N) The importances; below 0 is worth nothing."""
        worth: Floats = np.maximum(self.found.means, 0.0)
        return worth

    @cached_property
    def relative(self) -> Floats:
        """(F, N) Worth over that of the task's most important feature."""
        found: Floats = self.worth / _whole(self.worth.max(0, initial=0))
        return found

    @cached_property
    def best(self) -> Ints:
        """(F,) The features by what the most that they are worth to any task is, the first the most."""
        return np.argsort(-self.relative.max(1, initial=0), kind="stable")

    @cached_property
    def kept(self) -> Floats:
        """(len(order) + 1, N) The share of each task's worth that the first 0, 1, ... features in order have."""
        first = np.zeros((1, self.worth.shape[1]))
        found: Floats = np.vstack([first, self.worth[self.order].cumsum(0)]) / _whole(self.worth.sum(0))
        return found

    @property
    def kept_now(self) -> Floats:
        """(N,) Of the features that were chosen."""
        found: Floats = self.kept[int(self.chosen.sum())]
        return found

    @cached_property
    def compute(self) -> Floats:
        """(F,) As declared."""
        return np.array([candidate.cost.compute for candidate in self.found.candidates], dtype=np.float64)

    @cached_property
    def storage(self) -> Floats:
        """(F,) As declared."""
        return np.array([candidate.cost.storage for candidate in self.found.candidates], dtype=np.float64)

    def main_task(self, feature: int) -> str:
        """The task that the feature is worth most to, by the task's own scale; empty if it is worth nothing."""
        return self.tasks[int(self.relative[feature].argmax())] if self.worth[feature].any() else ""


def _whole(totals: Floats) -> Floats:
    """What shares are of; of nothing every share is 0."""
    found: Floats = np.where(totals > 0, totals, 1.0)
    return found
