"""Predictions made up for tests of evaluation."""

from dataclasses import replace

import numpy as np

from lattice_model.evaluation.predictions import Predictions
from tests.lattice_model.factories import make_manifest

MANIFEST = make_manifest()


def made_up(rows: int = 3000, users: int = 200, seed: int = 0) -> Predictions:
    """Each row is positive with its true probability; these are predicted with some noise."""
    rng = np.random.default_rng(seed)
    objectives = len(MANIFEST.objectives)
    truth_RO = rng.beta(1, 3, (rows, objectives))
    labels_RO = (rng.random(truth_RO.shape) < truth_RO).astype(float)
    labels_RO[rng.random(labels_RO.shape) < 0.2] = np.nan
    return noisy(
        Predictions(
            manifest=MANIFEST,
            keys={
                "impression_id": np.arange(rows),
                "user_id": np.array([f"user {user}" for user in rng.integers(0, users, rows)]),
                "twin": rng.integers(0, 2, rows).astype(np.float32),
                "type": rng.choice(["A", "B"], rows),
            },
            domain_R=rng.integers(0, len(MANIFEST.domains), rows),
            labels_RO=labels_RO,
            probabilities_RO=truth_RO,
        ),
        0.1,
        seed,
    )


def noisy(predictions: Predictions, noise: float, seed: int) -> Predictions:
    """The same rows, predicted with noise on the logits."""
    rng = np.random.default_rng(seed + 1)
    odds = predictions.probabilities_RO / (1 - predictions.probabilities_RO)
    odds = odds * np.exp(noise * rng.normal(size=odds.shape))
    return replace(predictions, probabilities_RO=odds / (1 + odds))
