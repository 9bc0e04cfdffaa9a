"""LightGBM, one model a portfolio at its oracle head.

How many trees is chosen on the validation range, with rows whose labels were known before it; then the model is fitted
again on the rows whose labels were known before the test range.

Shapes: R rows, O objectives.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import lightgbm
import numpy as np
from numpy.typing import NDArray

from benchmarks.flat import FlatRows
from benchmarks.results import Result
from lattice_model.evaluation.predictions import Predictions
from schemas.duration import microseconds, parse_duration
from schemas.errors import LatticeError
from schemas.manifest import TrainingManifest

Settings = dict[str, Any]

SETTINGS: Settings = {
    "objective": "binary",
    "learning_rate": 0.05,
    "num_leaves": 31,
    "min_data_in_leaf": 100,
    "feature_fraction": 0.5,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "seed": 1,
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 2,
    "verbose": -1,
}
MOST_TREES = 500
PATIENCE = 30
"""Trees without a better cross entropy on the validation rows before no more are added."""

Times = NDArray[np.datetime64]


class Fitted(Result):
    """What one LightGBM was trained on."""

    domain: str
    objective: str
    rows: int
    positives: int
    trees: int


def known_when_zipped(rows: FlatRows, manifest: TrainingManifest) -> Times:
    """When the oracle label of each row of ``training`` was known, (R, O); NaT where the row has none.

    Rows of the oracle window have it, and for an immediate objective rows of any window: what trains Lattice's head.
    """
    known_RO = np.full(rows.labels_RO.shape, np.datetime64("NaT"), "datetime64[us]")
    for index, objective in enumerate(manifest.objectives):
        own = rows.window_R == manifest.windows.index(objective.windows[-1]) if objective.windows else True
        there = own & ~np.isnan(rows.labels_RO[:, index])
        known_RO[there, index] = rows.keys["available_time"][there]
    return known_RO


def known_when_closed(rows: FlatRows, manifest: TrainingManifest) -> Times:
    """When the oracle label of each impression was known, (R, O); NaT where it has none."""
    known_RO = np.full(rows.labels_RO.shape, np.datetime64("NaT"), "datetime64[us]")
    for index, objective in enumerate(manifest.objectives):
        length = microseconds(parse_duration(objective.windows[-1])) if objective.windows else 0
        there = ~np.isnan(rows.labels_RO[:, index])
        known_RO[there, index] = rows.keys["impression_time"][there] + np.timedelta64(length, "us")
    return known_RO


def fit_and_predict(
    rows: FlatRows,
    known_RO: Times,
    validation: FlatRows,
    test: FlatRows,
    manifest: TrainingManifest,
    settings: Settings = SETTINGS,
) -> tuple[Predictions, tuple[Fitted, ...]]:
    """Predictions for the test rows of every portfolio.

    Raises:
        LatticeError: a portfolio has no row to train on or to choose the number of trees by.
    """
    _, trees = choose(rows, known_RO, validation, manifest, settings)
    return refit(rows, known_RO, test, trees, manifest, settings)


def choose(
    rows: FlatRows, known_RO: Times, validation: FlatRows, manifest: TrainingManifest, settings: Settings = SETTINGS
) -> tuple[Predictions, tuple[int, ...]]:
    """How many trees are best for the validation rows of each portfolio, and what they predict for these."""
    probabilities_RO = np.full(validation.labels_RO.shape, np.nan)
    trees = []
    for domain, index in _heads(manifest):
        early = (rows.domain_R == domain) & (known_RO[:, index] < moment(manifest.cuts["validation"]))
        held = (validation.domain_R == domain) & ~np.isnan(validation.labels_RO[:, index])
        if not early.any() or not held.any():
            raise LatticeError(
                f"the portfolio {manifest.domains[domain]}/{manifest.objectives[index].name}",
                "It has no labelled row before the validation range, or none in it.",
                "Compare on a larger sample.",
            )
        model = _stopped_early(_dataset(rows, early, index), _dataset(validation, held, index), settings)
        trees.append(max(1, model.best_iteration))
        probabilities_RO[held, index] = model.predict(validation.features_RF[held], num_iteration=trees[-1])
    return _predictions(validation, probabilities_RO, manifest), tuple(trees)


def refit(
    rows: FlatRows,
    known_RO: Times,
    test: FlatRows,
    trees: Sequence[int],
    manifest: TrainingManifest,
    settings: Settings = SETTINGS,
) -> tuple[Predictions, tuple[Fitted, ...]]:
    """Predictions for the test rows, by so many trees a portfolio, of all rows whose labels were known before."""
    probabilities_RO = np.full(test.labels_RO.shape, np.nan)
    fitted = []
    for (domain, index), count in zip(_heads(manifest), trees, strict=True):
        late = (rows.domain_R == domain) & (known_RO[:, index] < moment(manifest.cuts["test"]))
        model = lightgbm.train(settings, _dataset(rows, late, index), num_boost_round=count)
        there = test.domain_R == domain
        if there.any():
            probabilities_RO[there, index] = model.predict(test.features_RF[there])
        fitted.append(
            Fitted(
                domain=manifest.domains[domain],
                objective=manifest.objectives[index].name,
                rows=int(late.sum()),
                positives=int(rows.labels_RO[late, index].sum()),
                trees=count,
            )
        )
    return _predictions(test, probabilities_RO, manifest), tuple(fitted)


def _predictions(rows: FlatRows, probabilities_RO: NDArray[np.float64], manifest: TrainingManifest) -> Predictions:
    return Predictions(
        manifest=manifest,
        keys=rows.keys,
        domain_R=rows.domain_R,
        labels_RO=rows.labels_RO,
        probabilities_RO=probabilities_RO,
    )


def _heads(manifest: TrainingManifest) -> Iterator[tuple[int, int]]:
    """Positions of the domain and objective of each portfolio, in the order of ``Predictions.portfolios``."""
    for index, objective in enumerate(manifest.objectives):
        for domain in objective.domains:
            yield manifest.domains.index(domain), index


def _stopped_early(training: lightgbm.Dataset, held: lightgbm.Dataset, settings: Settings) -> lightgbm.Booster:
    held.set_reference(training)
    stop = lightgbm.early_stopping(PATIENCE, verbose=False)
    return lightgbm.train(settings, training, num_boost_round=MOST_TREES, valid_sets=[held], callbacks=[stop])


def _dataset(rows: FlatRows, chosen: NDArray[np.bool_], objective: int) -> lightgbm.Dataset:
    return lightgbm.Dataset(
        rows.features_RF[chosen],
        rows.labels_RO[chosen, objective],
        weight=rows.weight_R[chosen],
        feature_name=list(rows.names),
        categorical_feature=list(rows.categorical),
    )


def moment(cut: datetime) -> np.datetime64:
    return np.datetime64(cut.astimezone(UTC).replace(tzinfo=None))
