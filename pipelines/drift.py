"""Drift: positive rates, feature means and null shares of the rows that a night adds, against those of the last one."""

import math
from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from schemas.quality import FEW, DomainProfile, Kind, Level, Measure, Moments, Profile
from schemas.space import Drift, Thresholds

_ERRORS = 3.0
"""So many standard errors may be chance."""
_ROUNDING = 1e-9
"""Numbers that differ by no more than this share are one: sums depend on the order of rows."""
_SUMS = "domain string, column int, rows long, known long, sum double, squares double"


def profile(rows: DataFrame, numbers: Sequence[str], ids: Sequence[str] = (), count: int | None = None) -> Profile:
    """The rows by ``domain``, in one pass: of ``numbers`` the moments, of ``ids`` how many are known (not 0).

    ``count`` is how many rows there are, if that is known: a few are summed here.
    """
    names = [*numbers, *ids]
    summed, chosen = partial(_sums, numbers=list(numbers), ids=list(ids)), rows.select("domain", *names)
    if count is not None and count <= FEW:
        found = [row for batch in summed(chosen.toArrow().to_batches()) for row in batch.to_pylist()]
    else:
        totals = chosen.mapInArrow(summed, _SUMS).groupBy("domain", "column").agg(
            F.sum("rows").alias("rows"), F.sum("known").alias("known"), F.sum("sum").alias("sum"),
            F.sum("squares").alias("squares"),
        )  # fmt: skip
        found = [row.asDict() for row in totals.collect()]
    domains: dict[str, DomainProfile] = {}
    for row in sorted(found, key=lambda row: (row["domain"], row["column"])):
        known = row["known"]
        of_domain = domains.setdefault(row["domain"], DomainProfile(rows=row["rows"], columns={}))
        of_domain.columns[names[row["column"]]] = Moments(
            known=known,
            mean=row["sum"] / known if known and row["column"] < len(numbers) else None,
            std=_std(known, row["sum"], row["squares"]) if known and row["column"] < len(numbers) else None,
        )
    return Profile(domains=domains)


def _sums(batches: Iterator[pa.RecordBatch], numbers: list[str], ids: list[str]) -> Iterator[pa.RecordBatch]:
    """Rows, known values, sum and sum of squares of each column (by its place) in each domain of a partition."""
    found: dict[str, NDArray[np.float64]] = {}
    for batch in batches:
        domains = np.asarray(batch.column("domain").to_numpy(zero_copy_only=False))
        for domain in np.unique(domains):
            chosen = domains == domain
            totals = found.setdefault(domain, np.zeros((len(numbers) + len(ids), 4)))
            for place, name in enumerate((*numbers, *ids)):
                values = np.asarray(batch.column(name).to_numpy(zero_copy_only=False), np.float64)[chosen]
                known = ~np.isnan(values) if place < len(numbers) else values != 0
                totals[place] += (values.size, known.sum(), values[known].sum(), (values[known] ** 2).sum())
    for domain, totals in found.items():
        places = np.arange(len(totals), dtype=np.int32)
        columns = dict(zip(("rows", "known", "sum", "squares"), totals.T, strict=True))
        counted = {name: columns[name].astype(np.int64) for name in ("rows", "known")}
        yield pa.RecordBatch.from_pydict({"domain": [domain] * len(places), "column": places, **columns, **counted})


def _std(count: int, total: float, squares: float) -> float:
    return math.sqrt(max(0.0, squares / count - (total / count) ** 2))


def compared(before: Profile, now: Profile, drift: Drift) -> tuple[Measure, ...]:
    """What changed by more than chance explains, the most first; domains with few rows are left out."""
    found: list[Measure] = []
    for domain, earlier in before.domains.items():
        later = now.domains.get(domain)
        if later is not None and min(earlier.rows, later.rows) >= drift.rows:
            for column in earlier.columns.keys() & later.columns.keys():
                found += _of_column(domain, column, earlier, later, drift)
    return tuple(sorted(found, key=lambda m: (-m.change, m.kind, m.domain, m.column)))


def _of_column(
    domain: str, column: str, before: DomainProfile, now: DomainProfile, drift: Drift
) -> Iterator[Measure]:  # fmt: skip
    old, new = before.columns[column], now.columns[column]

    def measure(kind: Kind, values: tuple[float, float], error: float, unit: float, limits: Thresholds) -> Measure:
        rounding = _ROUNDING * max(map(abs, values))
        beyond = max(0.0, abs(values[1] - values[0]) - _ERRORS * error - rounding)
        change = 0.0 if beyond == 0 else beyond / unit if unit else math.inf
        return Measure(
            domain=domain, column=column, kind=kind, before=values[0], now=values[1], change=change,
            level=_level(change, limits),
        )  # fmt: skip

    is_label = column.startswith("label_")
    # How many labels are null depends on which windows closed, not on the data.
    shares = (1 - old.known / before.rows, 1 - new.known / now.rows)
    measures = (
        [] if is_label else [measure("null share", shares, _error(shares[0], before, now), 1.0, drift.null_share)]
    )
    if old.mean is not None and new.mean is not None and old.std is not None:
        error = old.std * math.sqrt(1 / old.known + 1 / new.known)
        means = (old.mean, new.mean)
        if is_label:
            measures.append(measure("positive rate", means, error, old.mean, drift.positive_rate))
        else:
            measures.append(measure("mean", means, error, old.std, drift.mean))
    return (found for found in measures if found.change > 0)


def _error(share: float, before: DomainProfile, now: DomainProfile) -> float:
    return math.sqrt(share * (1 - share) * (1 / before.rows + 1 / now.rows))


def _level(change: float, limits: Thresholds) -> Level:
    if limits.stop is not None and change > limits.stop:
        return "stop"
    return "warn" if limits.warn is not None and change > limits.warn else "fine"
