"""A run ends where validation says so, keeps its best weights, and never looks at the test range."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lattice_model.evaluation.metrics import portfolio_metrics
from lattice_model.loader import Loader, Selection
from lattice_model.training.checkpoint import load
from lattice_model.training.config import EarlyStopping, TrainingConfig
from lattice_model.training.early_stopping import Stopper, weighted_means
from lattice_model.training.log import TrainingLog, ValidationPoint
from lattice_model.training.trainer import CHECKPOINT, SCALARS, train
from schemas.errors import LatticeError
from tests.lattice_model.tables import make_table, write_files
from tests.lattice_model.training.resumed import run_from_files
from tests.lattice_model.training.runs import CONFIG, MANIFEST, NETWORK, run

# Labels are random: what it learns of the 900 rows does not carry over, so that validation soon gets worse.
OVERFITS = {
    **CONFIG.model_dump(),
    "epochs": 30,
    "learning_rate": 0.03,
    "schedule": "constant",
    "warmup": 0.0,
    "early_stopping": {"every": 3, "patience": 2},
}


def stopper(**changes: Any) -> Stopper:
    return Stopper(EarlyStopping(**changes), MANIFEST, torch.device("cpu"))


def run_apart(folder: Path, config: TrainingConfig) -> TrainingLog:
    """Trained on a third of the rows, stopped on the others."""
    files = write_files(make_table(MANIFEST, 900), folder.parent / "table")
    loaders = [
        Loader(
            files, MANIFEST, batch_size=64, shuffle=split == "test", keys=("impression_id", "user_id"),
            selection=Selection(split=split),
        )
        for split in ("test", "validation")
    ]  # fmt: skip
    return train(
        config=config,
        network_config=NETWORK,
        batches=loaders[0],
        validation=loaders[1],
        manifest=MANIFEST,
        split="validation",
        folder=folder,
    )


def test_it_stops_and_keeps_the_best_weights(tmp_path: Path) -> None:
    """They are those of a run that ends at that step: the learning rate does not depend on the steps to come."""
    config = TrainingConfig.model_validate(OVERFITS)
    log = run_apart(tmp_path / "stopped", config)
    found = [point.normalized_entropy for point in log.validation]
    assert all(value is not None for value in found)
    best = int(np.argmin([value or 9.0 for value in found]))
    assert log.best_step == 3 * (best + 1) == log.validation[best].step
    assert len(found) == best + 3 and log.steps == log.validation[-1].step < 30 * 5
    whole = run_apart(tmp_path / "whole", config.model_copy(update={"early_stopping": None, "steps": log.best_step}))
    assert whole.steps == whole.best_step == log.best_step
    weights = [load(tmp_path / name / CHECKPOINT).network.state_dict() for name in ("stopped", "whole")]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    events = EventAccumulator(str(tmp_path / "stopped" / SCALARS))
    events.Reload()
    assert [event.value for event in events.Scalars("validation/normalized_entropy")] == pytest.approx(found)


def test_the_test_range_never_decides() -> None:
    with pytest.raises(LatticeError, match="stops on the test range") as caught:
        TrainingConfig.model_validate({"early_stopping": {"split": "test"}})
    assert caught.value.place == "the training setting early_stopping.split"


def test_a_model_that_trains_on_the_validation_rows_cannot_stop_on_them(tmp_path: Path) -> None:
    with pytest.raises(LatticeError, match="trains on the validation rows too") as caught:
        run(tmp_path, CONFIG.model_copy(update={"early_stopping": EarlyStopping()}))
    assert "--split validation" in caught.value.remedy


@pytest.mark.parametrize("metric", ["normalized_entropy", "auc"])
def test_patience_counts_evaluations_since_the_best(metric: Any) -> None:
    judge = stopper(patience=2, metric=metric)
    stops = []
    for step, best in enumerate([True, False, True, False, False]):
        judge.history.append(ValidationPoint(step=step, normalized_entropy=None, auc=None, best=best))
        stops.append(judge.stops)
    assert stops == [False, False, False, False, True]


def test_evaluations_are_due_every_so_many_steps_and_at_the_last() -> None:
    judge = stopper(every=4)
    assert [step for step in range(1, 11) if judge.due(step, 10)] == [4, 8, 10]


def test_means_are_over_labels() -> None:
    """Two portfolios, and one without a label: the entropy of all labels over that of the two base rates."""
    rng = np.random.default_rng(0)
    parts, losses, bases = [], [], []
    for rows, rate in ((400, 0.3), (100, 0.05), (0, 0.5)):
        labels, predictions = (rng.random(rows) < rate).astype(float), rng.random(rows)
        parts.append(
            portfolio_metrics(labels, predictions, np.arange(rows), domain="web", objective="buy", window=None)
        )
        share = labels.mean() if rows else 0.0
        losses += [-np.log(p if y else 1 - p) for y, p in zip(labels, predictions, strict=True)]
        bases += [-np.log(share if y else 1 - share) for y in labels]
    normalized_entropy, auc = weighted_means(parts)
    assert normalized_entropy == pytest.approx(sum(losses) / sum(bases))
    assert auc == pytest.approx((400 * (parts[0].auc or 0) + 100 * (parts[1].auc or 0)) / 500)
    assert weighted_means(parts[2:]) == (None, None)


def test_a_run_without_it_has_no_evaluations(tmp_path: Path) -> None:
    assert run_from_files(tmp_path / "run", CONFIG).validation == ()
