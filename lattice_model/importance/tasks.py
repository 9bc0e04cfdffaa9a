"""The tasks of one domain: what their labels are, and what a unit of normalized entropy is.

Shapes: R rows of the domain, O objectives that are tasks there.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lattice_model.evaluation.metrics import entropy
from lattice_model.importance.rows import Rows

_PART = 16
"""A sample has one of so many rows of each label,"""
_SEEN = 50
"""or more of a label that would have fewer rows than this in it."""


@dataclass(frozen=True, kw_only=True)
class DomainTasks:
    """Portfolios (domain, objective) at the objectives' oracle heads."""

    domain: str
    objectives: tuple[str, ...]
    columns: list[int]
    """Positions of the objectives among the manifest's."""
    span: slice
    """Where the domain's rows lie."""
    labelled_RO: NDArray[np.float64]
    users_R: NDArray[np.int64]
    """A code a user of the domain, from 0."""
    entropies_O: NDArray[np.float64]
    """Of the base rates: a cross entropy over it is a normalized entropy."""
    weight_R: NDArray[np.float64]
    """Of the rows of a sample: how many of the domain's each stands for; 0 for those that are not in it."""


def domain_tasks(rows: Rows) -> tuple[DomainTasks, ...]:
    """The domains that have any task. A portfolio whose labels are all equal, or one user's, is none."""
    found = []
    for domain, span in rows.spans.items():
        names, columns = [], []
        for column, objective in enumerate(rows.manifest.objectives):
            if domain in objective.domains and _differs(rows.labels_RO[span, column], rows.users_R[span]):
                names.append(objective.name)
                columns.append(column)
        if names:
            labels_RO = rows.labels_RO[span][:, columns]
            found.append(
                DomainTasks(
                    domain=domain,
                    objectives=tuple(names),
                    columns=columns,
                    span=span,
                    labelled_RO=(~np.isnan(labels_RO)).astype(np.float64),
                    users_R=np.unique(rows.users_R[span], return_inverse=True)[1].astype(np.int64),
                    entropies_O=np.array([entropy(float(rate)) for rate in np.nanmean(labels_RO, axis=0)]),
                    weight_R=_sample(labels_RO),
                )
            )
    return tuple(found)


def left_out(rows: Rows) -> tuple[tuple[str, str], ...]:
    """The group's portfolios (domain, objective) that are no task on these rows."""
    tasks = {(part.domain, objective) for part in domain_tasks(rows) for objective in part.objectives}
    every = [(domain, objective.name) for objective in rows.manifest.objectives for domain in objective.domains]
    return tuple(portfolio for portfolio in every if portfolio not in tasks)


def _sample(labels_RO: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights of a sample, always the same, that is drawn from the rows of each label apart.

    A row with several labels is one of the rarest. Every so manieth row would not do: rows may come in turns, such as
    the places of a page.
    """
    labels = [labels_RO[:, column] == value for column in range(labels_RO.shape[1]) for value in (0.0, 1.0)]
    labels.sort(key=np.count_nonzero)
    weight_R, left_R, rng = np.zeros(len(labels_RO)), np.ones(len(labels_RO), bool), np.random.default_rng(0)
    for having_R in labels:
        own = rng.permutation(np.flatnonzero(having_R & left_R))
        sample = own[:: min(max(len(own) // _SEEN, 1), _PART)]
        weight_R[sample] = len(own) / max(len(sample), 1)
        left_R &= ~having_R
    return weight_R


def _differs(labels_R: NDArray[np.float64], users_R: NDArray[np.int64]) -> bool:
    known = ~np.isnan(labels_R)
    return len(np.unique(labels_R[known])) == 2 and len(np.unique(users_R[known])) > 1
