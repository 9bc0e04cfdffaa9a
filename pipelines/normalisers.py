"""Fits normalisers: how each dense feature is distributed over training rows."""

import numpy as np
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from schemas.manifest import DenseInput, Normaliser

# Enough for stable quantiles, and a bound on what the driver holds whatever the table's size.
SAMPLE = 60_000
# Features of one query: thousands of them would not fit in the driver together.
_AT_ONCE = 1_000
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
    share = min(1.0, SAMPLE / max(rows, 1))
    # A hash sample of bounded size: the same rows whatever the partitioning.
    kept = F.pmod(F.xxhash64(F.lit("normalisers"), F.col("impression_id")), F.lit(1_000_000)) < int(share * 1_000_000)
    positions = {domain: position for position, domain in enumerate(domains)}
    fitted = {}
    for start in range(0, len(features), _AT_ONCE):
        part = features[start : start + _AT_ONCE]
        values = (F.col(feature.column).cast("float") for feature in part)
        sample = training.where(kept).select("domain_index", "weight", *values).toPandas()
        index, weights = sample["domain_index"].to_numpy(), sample["weight"].to_numpy(dtype=np.float64)
        for feature in part:
            own = np.isin(index, [positions[domain] for domain in feature.domains])
            fitted[feature.name] = _fit(sample[feature.column].to_numpy(dtype=np.float64)[own], weights[own])
    return fitted


def _fit(values: NDArray[np.float64], weights: NDArray[np.float64]) -> Normaliser:
    finite = np.flatnonzero(np.isfinite(values))
    if finite.size == 0:
        return Normaliser(mean=0.0, std=1.0, quantiles=(0.0,), known=0.0)
    order = finite[np.argsort(values[finite], kind="stable")]
    known, share = values[order], weights[order] / weights[order].sum()
    logged = np.sign(known) * np.log1p(np.abs(known))
    mean = float(share @ logged)
    spread = float(np.sqrt(share @ (logged - mean) ** 2))
    return Normaliser(
        mean=mean,
        std=spread if spread > 1e-6 else 1.0,
        quantiles=tuple(float(q) for q in np.unique(_quantiles(known, share))),
        known=float(weights[order].sum() / weights.sum()),
    )


def _quantiles(values: NDArray[np.float64], share: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of increasing values with weights that sum to 1; with equal ones those of ``numpy.quantile``."""
    below = np.cumsum(share) - share
    return np.interp(_QUANTILES * below[-1], below, values)
