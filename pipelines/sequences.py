"""Event sequences: the last N events of a user that had arrived strictly before each impression, newest first.

The last N events of each user at an instant are all that later sequences need of what came before.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.timelines import Axis, Floats, Log, Longs, newest
from schemas.space import Sequence

_DAY = 86_400_000_000


@dataclass(frozen=True)
class Shape:
    """A declared sequence, as a worker needs it."""

    name: str
    length: int
    ids: tuple[str, ...]
    dense: tuple[str, ...]
    age: bool

    @classmethod
    def of(cls, name: str, sequence: Sequence) -> "Shape":
        return cls(name, sequence.length, tuple(sequence.ids), sequence.dense, sequence.age)


@dataclass(frozen=True)
class Happened:
    """Events of a span, with the last ones before it: users, arrivals, times, (events, ids), (events, numbers)."""

    users: Longs
    arrived: Longs
    times: Longs
    ids: Longs
    dense: Floats

    def in_order(self) -> tuple["Happened", Longs, Log]:
        """Sorted by user, arrival and their own values; the rank of each by its own values; the log of them."""
        # Events of one instant are ordered by their own values, so the order of rows does not matter.
        by_value = np.lexsort((*self.dense.T[::-1], *self.ids.T[::-1], self.times))
        rank = np.empty(by_value.size, np.int64)
        rank[by_value] = np.arange(by_value.size)
        order = np.lexsort((rank, self.arrived, self.users))
        part = Happened(
            self.users[order], self.arrived[order], self.times[order], self.ids[order], self.dense[order]
        )  # fmt: skip
        axis = Axis.of(part.users, part.arrived)
        log = Log.of(axis, part.users, part.arrived, part.times, np.zeros((order.size, 0), np.int64))
        return part, rank[order], log


@dataclass(frozen=True)
class Found:
    """Sequences of some (user, time) pairs: ``counts`` events each, then all their fields, one pair after the other."""

    counts: Longs
    ids: Longs
    dense: Floats
    ages: Floats
    """Days from the event to the time of the pair."""


def sequences(shape: Shape, happened: Happened, users: Longs, times: Longs) -> Found:
    """The last events before each pair, newest first."""
    part, rank, log = happened.in_order()
    ranks, present = log.axis.rank(users)
    positions, known = newest(log, rank, ranks, times, shape.length)
    known &= present[:, None]
    flat: NDArray[np.int64] = positions[known]
    ages = (np.broadcast_to(times[:, None], positions.shape)[known] - part.times[flat]) / _DAY
    return Found(known.sum(axis=1), part.ids[flat], part.dense[flat], ages.astype(np.float32))


def latest(shape: Shape, happened: Happened) -> Happened:
    """The last events of each user."""
    part = happened.in_order()[0]
    ends = np.searchsorted(part.users, part.users, side="right")
    kept = ends - np.arange(part.users.size) <= shape.length
    return Happened(part.users[kept], part.arrived[kept], part.times[kept], part.ids[kept], part.dense[kept])
