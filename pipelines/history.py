"""Point-in-time aggregates: what a key's events amounted to just before each impression.

An event counts in horizon h if it had arrived in [t - h, t). A ``Ledger`` holds the histories that share their keys,
and says which running totals they need; ``pipelines.timelines`` computes them. The totals of a key at an instant are
its balance: a night reads the balances, the events that arrive and those that expire, and nothing in between.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray

from pipelines.timelines import NEVER_FIRST, NEVER_LAST, Axis, Floats, Log, Longs
from schemas.duration import microseconds
from schemas.features import history_measures
from schemas.space import History

# Sums run over whole numbers of 1/10,000: exact, whatever the order of rows.
SCALE = 10_000
_DAY = 86_400_000_000


@dataclass(frozen=True)
class Total:
    """A running total: of which log, which of its columns (0 counts events), over which horizon (None: all time)."""

    stream: int
    column: int
    lag: int | None


@dataclass(frozen=True)
class Measure:
    """A dense feature made of totals, or of a log's first and last times."""

    name: str
    kind: str
    stream: int
    total: int


@dataclass(frozen=True)
class Ledger:
    """The histories of one set of keys, as positions: what a worker needs, and nothing else."""

    keys: tuple[str, ...]
    streams: tuple[str, ...]
    summed: tuple[tuple[str, ...], ...]
    """For each stream the event columns that are summed."""
    totals: tuple[Total, ...]
    measures: tuple[Measure, ...]

    @classmethod
    def of(cls, keys: tuple[str, ...], histories: Mapping[str, History]) -> "Ledger":
        streams = tuple(sorted({history.events for history in histories.values()}))
        declared = {name: history_measures(name, history) for name, history in histories.items()}
        summed = tuple(
            tuple(sorted({m.summed for name in declared if histories[name].events == stream
                          for m in declared[name] if m.summed is not None}))
            for stream in streams
        )  # fmt: skip
        totals: list[Total] = []
        measures = []

        def position(total: Total) -> int:
            if total not in totals:
                totals.append(total)
            return totals.index(total)

        for name, history in histories.items():
            stream = streams.index(history.events)
            for measure in declared[name]:
                lag = microseconds(measure.horizon) if isinstance(measure.horizon, timedelta) else None
                what = 0 if measure.summed is None else 1 + summed[stream].index(measure.summed)
                measures.append(Measure(measure.column, measure.kind, stream, position(Total(stream, what, lag))))
        return cls(keys, streams, summed, tuple(totals), tuple(measures))

    def lags(self, stream: int) -> list[timedelta]:
        """The horizons after which a stream's events leave a total."""
        found = {total.lag for total in self.totals if total.stream == stream and total.lag is not None}
        return [timedelta(microseconds=lag) for lag in sorted(found)]

    @property
    def width(self) -> int:
        """How many numbers a balance is: the totals, then the first and the last time of each stream."""
        return len(self.totals) + 2 * len(self.streams)

    def nothing(self) -> Longs:
        """The balance of a key that nothing has happened to."""
        ends = [NEVER_FIRST, NEVER_LAST] * len(self.streams)
        return np.array([0] * len(self.totals) + ends, np.int64)


@dataclass(frozen=True)
class Moves:
    """The events of one stream that arrived or expired in a span: keys, arrivals, times, (events, columns) values."""

    keys: Longs
    arrived: Longs
    times: Longs
    values: Longs


@dataclass(frozen=True)
class Books:
    """A ledger's events of a span and the balances at its start (microseconds; None: the beginning)."""

    ledger: Ledger
    start: int | None
    moves: tuple[Moves, ...]
    balance_keys: Longs
    balances: Longs
    """(keys, ``ledger.width``)."""

    def keys(self) -> Longs:
        found: Longs = np.unique(np.concatenate([self.balance_keys, *(part.keys for part in self.moves)]))
        return found

    def at(self, keys: Longs, times: Longs) -> Longs:
        """(pairs, ``ledger.width``): what each key had amounted to just before each time, all within the span."""
        found = np.empty((keys.size, self.ledger.width), np.int64)
        unique = np.unique(keys)
        reach = _reach(times, *(part.arrived for part in self.moves), *(part.times for part in self.moves))
        # As many keys at once as fit on an axis.
        chunk = max(1, 2**61 // reach)
        for first in range(0, unique.size, chunk):
            some = unique[first : first + chunk]
            held = (keys >= some[0]) & (keys <= some[-1])
            found[held] = self._at(keys[held], times[held])
        return found

    def _at(self, keys: Longs, times: Longs) -> Longs:
        known = np.unique(keys)
        found = self._opening(keys)
        ends = len(self.ledger.totals)
        for stream, every in enumerate(self.moves):
            held = np.isin(every.keys, known)
            part = Moves(every.keys[held], every.arrived[held], every.times[held], every.values[held])
            axis = Axis.of(known, times, part.arrived, part.times)
            counted = np.concatenate([np.ones((part.keys.size, 1), np.int64), part.values], axis=1)
            log = Log.of(axis, part.keys, part.arrived, part.times, counted)
            ranks, _ = axis.rank(keys)
            entered = log.change(ranks, self.start, times)
            left = {
                lag: log.change(ranks, self.start, times, lag)
                for lag in {total.lag for total in self.ledger.totals if total.stream == stream and total.lag}
                if lag is not None
            }
            for position, total in enumerate(self.ledger.totals):
                if total.stream == stream:
                    found[:, position] += entered[:, total.column]
                    if total.lag is not None:
                        found[:, position] -= left[total.lag][:, total.column]
            first, last = ends + 2 * stream, ends + 2 * stream + 1
            found[:, first] = np.minimum(found[:, first], log.first(ranks, times))
            found[:, last] = np.maximum(found[:, last], log.last(ranks, times))
        return found

    def _opening(self, keys: Longs) -> Longs:
        if not self.balance_keys.size:
            return np.tile(self.ledger.nothing(), (keys.size, 1))
        order = np.argsort(self.balance_keys)
        ordered = self.balance_keys[order]
        places = np.minimum(np.searchsorted(ordered, keys), ordered.size - 1)
        found: Longs = self.balances[order[places]]
        found[ordered[places] != keys] = self.ledger.nothing()
        return found


def measured(ledger: Ledger, found: Longs, times: Longs) -> dict[str, tuple[Floats, NDArray[np.bool_]]]:
    """Each measure's values and where they are unknown, from ``Books.at``.

    Counts and sums are 0 where nothing had happened; recency and gap (days) are unknown there.
    """
    ends = len(ledger.totals)
    values = {}
    for measure in ledger.measures:
        total = found[:, measure.total]
        first, last = found[:, ends + 2 * measure.stream], found[:, ends + 2 * measure.stream + 1]
        unknown = np.zeros(times.shape, bool)
        match measure.kind:
            case "count":
                value = total.astype(np.float64)
            case "sum":
                value = total / SCALE
            case "recency":
                unknown = last == NEVER_LAST
                value = (times - np.where(unknown, times, last)) / _DAY
            case _:
                unknown = total < 2
                value = np.where(unknown, 0, last - first) / np.where(unknown, 1, total - 1) / _DAY
        values[measure.name] = (value.astype(np.float32), unknown)
    return values


def _reach(*times: Longs) -> int:
    found = [part for part in times if part.size]
    return max((int(part.max()) for part in found), default=0) - min((int(part.min()) for part in found), default=0) + 2
