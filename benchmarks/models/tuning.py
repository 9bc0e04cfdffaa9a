"""What may be tuned, and which values are tried next."""

from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from lattice_model.evaluation.results import PortfolioMetrics

optuna.logging.set_verbosity(optuna.logging.WARNING)

Params = dict[str, Any]
Space = Mapping[str, BaseDistribution]

ID_DROPOUT = "network.id_dropout"
"""Here one share, of the ids of users; there are too few of their rows to learn each by heart."""

NETWORK: Space = {
    "training.learning_rate": FloatDistribution(5e-4, 8e-3, log=True),
    "training.embedding_learning_rate": FloatDistribution(2e-3, 5e-2, log=True),
    "training.epochs": CategoricalDistribution((1, 2)),
    "network.dim": CategoricalDistribution((8, 16, 32)),
    "network.dropout": FloatDistribution(0.0, 0.4),
    ID_DROPOUT: CategoricalDistribution((0.0, 0.5, 0.9)),
}
NETWORK_START: Params = {
    "training.learning_rate": 2e-3,
    "training.embedding_learning_rate": 1e-2,
    "training.epochs": 1,
    "network.dim": 16,
    "network.dropout": 0.1,
    ID_DROPOUT: 0.5,
}
CORRELATION = "training.correlation_weight"
CORRELATION_SPACE: Space = {**NETWORK, CORRELATION: FloatDistribution(0.01, 0.3, log=True)}
CORRELATION_START = NETWORK_START | {CORRELATION: 0.1}

TREES: Space = {
    "learning_rate": FloatDistribution(0.02, 0.1, log=True),
    "num_leaves": IntDistribution(8, 64, log=True),
    "min_data_in_leaf": IntDistribution(20, 500, log=True),
    "feature_fraction": FloatDistribution(0.2, 0.8),
    "lambda_l2": FloatDistribution(1e-3, 10.0, log=True),
}
TREES_START: Params = {
    "learning_rate": 0.05,
    "num_leaves": 31,
    "min_data_in_leaf": 100,
    "feature_fraction": 0.5,
    "lambda_l2": 1e-3,
}

FAILED = 2.0
"""The score of a training that failed: far worse than predicting the base rate, which is 1."""
_RANDOM = 4
"""Trials, the first one included, before the sampler looks at what was found."""


def propose(space: Space, told: Sequence[tuple[Params, float]], seed: int) -> Params:
    """Values for the next trial by Optuna's TPE; the same for the same trials told and the same seed.

    ``told`` are values and their score, lower is better.
    """
    sampler = optuna.samplers.TPESampler(seed=seed + len(told), n_startup_trials=_RANDOM, multivariate=True)
    study = optuna.create_study(sampler=sampler)
    for params, score in told:
        study.add_trial(optuna.trial.create_trial(params=params, distributions=dict(space), value=score))
    return study.ask(dict(space)).params


def counted(portfolios: Sequence[PortfolioMetrics]) -> list[PortfolioMetrics]:
    """Those that a mean is taken over: with enough positives, or, if none has, all that have metrics at all."""
    known = [part for part in portfolios if part.auc is not None and part.normalized_entropy is not None]
    return [part for part in known if part.in_mean] or known


def score(portfolios: Sequence[PortfolioMetrics]) -> float:
    """Mean normalized entropy; ``FAILED`` where there is none."""
    found = [part.normalized_entropy or 0.0 for part in counted(portfolios)]
    return sum(found) / len(found) if found else FAILED
