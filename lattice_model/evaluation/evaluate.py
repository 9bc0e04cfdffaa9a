"""From predictions to a report of metrics."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lattice_model.evaluation.metrics import calibration_points, means, portfolio_metrics
from lattice_model.evaluation.predictions import Predictions, Slice
from lattice_model.evaluation.results import CalibrationCurve, MetricsReport, SliceMetrics
from schemas.manifest import Split

ALL = "all"


def evaluate(predictions: Predictions, *, model: str, split: Split, slices: Sequence[Slice] = ()) -> MetricsReport:
    """Metrics of every portfolio over all rows and over those of each slice, and calibration curves over all rows.

    Raises:
        LatticeError: a slice names a column that was not loaded, or a value that its column cannot have.
    """
    manifest = predictions.manifest
    users_R = predictions.users()
    every = np.ones(len(users_R), dtype=np.bool_)
    parts = [(ALL, every, None), *((part.name, part.mask(predictions.keys), part.domains) for part in slices)]
    return MetricsReport(
        model=model,
        space=manifest.space,
        group=manifest.group,
        split=split,
        fingerprint=manifest.fingerprint,
        tables=manifest.tables,
        rows=len(users_R),
        users=len(np.unique(users_R)),
        slices=tuple(_slice(predictions, name, mask, domains, users_R) for name, mask, domains in parts),
        calibration_curves=_curves(predictions),
    )


def _slice(
    predictions: Predictions,
    name: str,
    mask: NDArray[np.bool_],
    domains: tuple[str, ...] | None,
    users_R: NDArray[np.int64],
) -> SliceMetrics:
    portfolios = tuple(
        portfolio_metrics(
            predictions.labels_RO[part.rows, part.objective_index],
            predictions.probabilities_RO[part.rows, part.objective_index],
            users_R[part.rows],
            domain=part.domain,
            objective=part.objective,
            window=part.window,
        )
        for part in predictions.portfolios(mask, domains)
    )
    counted = mask if domains is None else mask & np.isin(predictions.domain_R, _positions(predictions, domains))
    return SliceMetrics(name=name, rows=int(counted.sum()), portfolios=portfolios, means=means(portfolios))


def _positions(predictions: Predictions, domains: tuple[str, ...]) -> list[int]:
    return [predictions.manifest.domains.index(domain) for domain in domains]


def _curves(predictions: Predictions) -> tuple[CalibrationCurve, ...]:
    return tuple(
        CalibrationCurve(
            domain=part.domain,
            objective=part.objective,
            window=part.window,
            points=calibration_points(
                predictions.labels_RO[part.rows, part.objective_index],
                predictions.probabilities_RO[part.rows, part.objective_index],
            ),
        )
        for part in predictions.portfolios()
        if len(part.rows)
    )
