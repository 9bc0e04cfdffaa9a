"""Point-in-time totals and sequences of many keys at once: sorted arrays and binary searches, no loop over rows.

Pure numpy. Keys and times are int64 (times in microseconds). An event enters a total when it arrives and leaves that
of horizon h when it is older than h, so over [start, t) a total changes by two differences of one running sum. What a
key's totals amount to at ``start``, its balance, stands for everything before.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Longs = NDArray[np.int64]
Floats = NDArray[np.float32]

NEVER_FIRST, NEVER_LAST = np.iinfo(np.int64).max, np.iinfo(np.int64).min
"""The first and last time of a key that has had no event."""


@dataclass(frozen=True)
class Axis:
    """(key, time) pairs as one ascending number each, so that one binary search finds a time among a key's own."""

    keys: Longs
    """Ascending, each once."""
    origin: int
    span: int

    @classmethod
    def of(cls, keys: Longs, *times: Longs) -> "Axis":
        """An axis for these keys, on which all of ``times`` lie.

        Raises:
            OverflowError: so many keys over so long a time do not fit in 63 bits; give fewer keys at once.
        """
        found = [part for part in times if part.size]
        low = min((int(part.min()) for part in found), default=0)
        high = max((int(part.max()) for part in found), default=0)
        unique = np.unique(keys)
        span = high - low + 2
        if (unique.size + 1) * span >= 2**63:
            raise OverflowError(f"{unique.size} keys over {span} microseconds")
        return cls(unique, low, span)

    def rank(self, keys: Longs) -> tuple[Longs, NDArray[np.bool_]]:
        """The position of each key, and whether it is one of the axis' keys at all."""
        if not self.keys.size:
            return np.zeros(keys.shape, np.int64), np.zeros(keys.shape, bool)
        ranks = np.minimum(np.searchsorted(self.keys, keys), self.keys.size - 1)
        return ranks, self.keys[ranks] == keys

    def place(self, ranks: Longs, times: Longs) -> Longs:
        """Where pairs lie; a time off the axis is taken for its beginning or its end, which lies after all times."""
        return ranks * self.span + np.clip(times - self.origin, 0, self.span - 1)


@dataclass(frozen=True)
class Log:
    """What arrived, sorted by key and arrival."""

    axis: Axis
    ranks: Longs
    places: Longs
    times: Longs
    """When it had happened."""
    sums: Longs
    """(events + 1, columns): running totals of each column, the first row zero."""

    @classmethod
    def of(cls, axis: Axis, keys: Longs, arrived: Longs, times: Longs, values: Longs) -> "Log":
        """Args: values: (events, columns)."""
        ranks, _ = axis.rank(keys)
        places = axis.place(ranks, arrived)
        order = np.argsort(places, kind="stable")
        sums = np.zeros((order.size + 1, values.shape[1]), np.int64)
        np.cumsum(values[order], axis=0, out=sums[1:])
        return cls(axis, ranks[order], places[order], times[order], sums)

    def before(self, ranks: Longs, times: Longs) -> Longs:
        """How many events of the log lie before these pairs."""
        return np.searchsorted(self.places, self.axis.place(ranks, times), side="left")

    def opening(self, ranks: Longs) -> Longs:
        """How many events lie before the first one of these keys."""
        return np.searchsorted(self.places, ranks * self.axis.span, side="left")

    def change(self, ranks: Longs, start: int | None, times: Longs, lag: int = 0) -> Longs:
        """(pairs, columns): what arrived in [start - lag, time - lag) amounts to."""
        ended = self.before(ranks, times - lag)
        begun = self.opening(ranks) if start is None else self.before(ranks, np.full_like(times, start - lag))
        return self.sums[ended] - self.sums[begun]

    @cached_property
    def _earliest(self) -> Longs:
        # Keys descend below each other, so that one running minimum serves all of them.
        low = int(self.times.min()) if self.times.size else 0
        spread = (int(self.times.max()) - low + 1) if self.times.size else 1
        return np.minimum.accumulate(self.times - low - self.ranks * spread) + low + self.ranks * spread

    @cached_property
    def _latest(self) -> Longs:
        low = int(self.times.min()) if self.times.size else 0
        spread = (int(self.times.max()) - low + 1) if self.times.size else 1
        return np.maximum.accumulate(self.times - low + self.ranks * spread) + low - self.ranks * spread

    def first(self, ranks: Longs, times: Longs) -> Longs:
        """The time of the first event that had arrived before these pairs; NEVER_FIRST if there is none."""
        return self._extreme(self._earliest, NEVER_FIRST, ranks, times)

    def last(self, ranks: Longs, times: Longs) -> Longs:
        return self._extreme(self._latest, NEVER_LAST, ranks, times)

    def _extreme(self, found: Longs, never: int, ranks: Longs, times: Longs) -> Longs:
        ended = self.before(ranks, times)
        some = ended > self.opening(ranks)
        return np.where(some, found[np.maximum(ended - 1, 0)] if found.size else never, never)


def newest(
    log: Log, order: Longs, ranks: Longs, times: Longs, length: int
) -> tuple[Longs, NDArray[np.bool_]]:  # fmt: skip
    """The last ``length`` events that had arrived before each pair, newest first: (pairs, length) positions, a mask.

    Args:
        log: events that arrive at one instant are in the order of ``order``.
        order: the rank of each event of the log by its own values; the newest is the one with the highest.
    """
    ended, begun = log.before(ranks, times), log.opening(ranks)
    positions = ended[:, None] - 1 - np.arange(length)
    known = positions >= begun[:, None]
    if not order.size:
        return np.zeros(positions.shape, np.int64), known
    by_value = np.where(known, order[np.maximum(positions, 0)], -1)
    by_value = -np.sort(-by_value, axis=1)
    back = np.empty(order.size, np.int64)
    back[order] = np.arange(order.size)
    return back[np.maximum(by_value, 0)], by_value >= 0
