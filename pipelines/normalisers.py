"""Fits normalisers: how each dense feature is distributed over training rows."""

from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from schemas.manifest import DenseInput, Normaliser

# Enough for stable quantiles, and a bound on what the driver holds whatever the table's size.
SAMPLE = 60_000
# Features of one query: thousands of them would not fit in the driver together.
AT_ONCE = 1_000
_PLACE = "_place"
_QUANTILES = np.linspace(0.0, 1.0, 65)


def fit_normalisers(
    training: DataFrame, rows: int, features: tuple[DenseInput, ...], domains: tuple[str, ...]
) -> dict[str, Normaliser]:
    """Normalisers of every dense feature, each over the rows of its own domains; a row counts by its ``weight``.

    Args:
        training: rows in the training layout; ``rows`` is their number, or an upper bound.
        features: the dense features.
        domains: what ``domain_index`` counts.
    """
    fitted = {}
    for start in range(0, len(features), AT_ONCE):
        part = features[start : start + AT_ONCE]
        fitted |= fitted_to(sampled(training, rows, part), part, domains)
    return fitted


def sampled(training: DataFrame, rows: int, features: tuple[DenseInput, ...]) -> pa.Table:
    """The rows that normalisers are fitted to: ``_place``, ``available_time``, ``domain_index``, ``weight``, features.

    A hash sample of bounded size: the same rows whatever the partitioning. That of more ``rows`` holds no other one of
    the rows that were there before.
    """
    place = F.pmod(F.xxhash64(F.lit("normalisers"), F.col("impression_id")), F.lit(1_000_000)).alias(_PLACE)
    values = (F.col(feature.column).cast("float") for feature in features)
    found = training.select(place, "available_time", "domain_index", "weight", *values)
    table: pa.Table = found.where(F.col(_PLACE) < _places(rows)).toArrow()
    return table


def resampled(sample: pa.Table, rows: int) -> pa.Table:
    """Of a ``sample`` of fewer rows what belongs to that of ``rows``."""
    return sample.filter(pc.less(sample[_PLACE], _places(rows)))


def available_before(sample: pa.Table, moment: datetime) -> pa.Table:
    """The rows of a sample that were available before an instant."""
    return sample.filter(pc.less(sample["available_time"], pa.scalar(moment, sample["available_time"].type)))


def fitted_to(sample: pa.Table, features: tuple[DenseInput, ...], domains: tuple[str, ...]) -> dict[str, Normaliser]:
    """Normalisers of the features of a sample; arguments as of ``fit_normalisers``."""
    positions = {domain: position for position, domain in enumerate(domains)}
    index, weights = sample["domain_index"].to_numpy(), sample["weight"].to_numpy().astype(np.float64)
    fitted = {}
    for feature in features:
        own = np.isin(index, [positions[domain] for domain in feature.domains])
        values = sample[feature.column].to_numpy().astype(np.float64)
        fitted[feature.name] = _fit(values[own], weights[own])
    return fitted


def _places(rows: int) -> int:
    return int(min(1.0, SAMPLE / max(rows, 1)) * 1_000_000)


def _fit(values: NDArray[np.float64], weights: NDArray[np.float64]) -> Normaliser:
    finite = np.flatnonzero(np.isfinite(values))
    if finite.size == 0:
        return Normaliser(mean=0.0, std=1.0, quantiles=(0.0,), known=0.0)
    counted = weights[finite]
    if counted.min() == counted.max():  # as a rule; values alone are sorted many times as fast
        known = np.sort(values[finite])
    else:
        order = np.argsort(values[finite], kind="stable")
        known, counted = values[finite][order], counted[order]
    share = counted / counted.sum()
    logged = np.sign(known) * np.log1p(np.abs(known))
    mean = float(share @ logged)
    spread = float(np.sqrt(share @ (logged - mean) ** 2))
    return Normaliser(
        mean=mean,
        std=spread if spread > 1e-6 else 1.0,
        quantiles=tuple(float(q) for q in np.unique(_quantiles(known, share))),
        known=float(counted.sum() / weights.sum()),
    )


def _quantiles(values: NDArray[np.float64], share: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of increasing values with weights that sum to 1; with equal ones those of ``numpy.quantile``."""
    below = np.cumsum(share) - share
    return np.interp(_QUANTILES * below[-1], below, values)
