"""Fits normalisers: how each dense feature is distributed over training rows."""

import numpy as np
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from schemas.manifest import DenseInput, Normaliser

# Enough for stable quantiles, and a bound on what the driver holds whatever the table's size.
SAMPLE = 60_000
_QUANTILES = np.linspace(0.0, 1.0, 65)


def fit_normalisers(
    training: DataFrame, rows: int, features: tuple[DenseInput, ...], domains: tuple[str, ...]
) -> dict[str, Normaliser]:
    """Normalisers of every dense feature, each over the rows of its own domains.

    Args:
        training: rows in the training layout; ``rows`` is their number, or an upper bound.
        features: the dense features.
        domains: what ``domain_index`` counts.
    """
    share = min(1.0, SAMPLE / max(rows, 1))
    kept = F.pmod(F.xxhash64(F.lit("normalisers"), F.col("impression_id")), F.lit(1_000_000)) < int(share * 1_000_000)
    names = [feature.column for feature in features]
    # A hash sample of bounded size: the same rows whatever the partitioning.
    sample = training.where(kept).select("domain_index", *(F.col(name).cast("float") for name in names)).toPandas()
    index = sample["domain_index"].to_numpy()
    positions = {domain: position for position, domain in enumerate(domains)}
    return {
        feature.name: _fit(
            sample[feature.column].to_numpy(dtype=np.float64)[np.isin(index, [positions[d] for d in feature.domains])]
        )
        for feature in features
    }


def _fit(values: NDArray[np.float64]) -> Normaliser:
    known = np.sort(values[np.isfinite(values)])
    if known.size == 0:
        return Normaliser(mean=0.0, std=1.0, quantiles=(0.0,), known=0.0)
    logged = np.sign(known) * np.log1p(np.abs(known))
    spread = float(logged.std())
    return Normaliser(
        mean=float(logged.mean()),
        std=spread if spread > 1e-6 else 1.0,
        quantiles=tuple(float(q) for q in np.unique(np.quantile(known, _QUANTILES))),
        known=known.size / values.size,
    )
