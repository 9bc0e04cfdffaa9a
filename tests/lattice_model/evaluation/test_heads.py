"""Sums by head against scikit-learn, row by row."""

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss

from lattice_model.evaluation.heads import HeadSums, add_up, by_objective, head_sums
from lattice_model.loader import Loader
from lattice_model.network.tasks import TaskModules
from tests.lattice_model.tables import make_table, write_files
from tests.lattice_model.training.runs import MANIFEST, network


def test_each_head_is_measured_on_the_rows_of_its_window(tmp_path: Path) -> None:
    table = make_table(MANIFEST, 400)
    loader = Loader(write_files(table, tmp_path), MANIFEST, batch_size=150, shuffle=False)
    model = network()
    assert isinstance(model.tasks, TaskModules)
    with torch.no_grad():  # untrained, all predictions are nearly alike
        model.tasks.out_Hh.mul_(100)
    sums = head_sums(model, loader.epoch())
    assert model.training
    (whole,) = Loader(loader._files, MANIFEST, batch_size=400, shuffle=False).epoch()
    predictions = torch.sigmoid(model.eval()(whole.batch).double()).detach().numpy()
    frame = table.to_pandas()
    for head, (objective, window) in enumerate(MANIFEST.heads()):
        used = frame[f"label_{objective}"].notna()
        if window is not None:
            used &= frame["window_index"] == MANIFEST.windows.index(window)
        labels, weights = frame[f"label_{objective}"][used], frame["weight"][used]
        found, predicted = sums[head], predictions[used.to_numpy(), head]
        loss = log_loss(labels, predicted, sample_weight=weights, normalize=False)
        rate = np.average(labels, weights=weights)
        base = log_loss(labels, np.full(len(labels), rate), sample_weight=weights, normalize=False)
        assert found.normalized_entropy == pytest.approx(loss / base)
        assert found.cross_entropy == pytest.approx(loss / np.log(2))
        assert found.calibration == pytest.approx((predicted * weights).sum() / (labels * weights).sum())
        assert (found.positives, found.labels) == ((labels * weights).sum(), weights.sum())


def test_heads_add_up_to_objectives_each_with_its_own_base() -> None:
    parts = [HeadSums(4.0, 5.0, 3.0, 2.0, 10.0), HeadSums(1.0, 5.0, 1.0, 2.0, 10.0), HeadSums(2.0, 2.0, 5.0, 4.0, 9.0)]
    found = by_objective(["buy", "buy", "click"], parts)
    assert list(found) == ["buy", "click"]
    assert found["buy"].normalized_entropy == 0.5 and found["buy"].calibration == 1.0
    assert found["click"] == parts[2]
    assert add_up(found.values()) == HeadSums(7.0, 12.0, 9.0, 8.0, 29.0)


def test_without_positives_there_is_neither() -> None:
    nothing = HeadSums(0.3, 0.0, 0.2, 0.0, 5.0)
    assert nothing.normalized_entropy is None and nothing.calibration is None
