"""Predictions of a network at its oracle heads, and as a file."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from lattice_model.evaluation.predictions import KEYS, Slice, predict
from lattice_model.loader import Loaded, Loader
from schemas.errors import LatticeError
from tests.lattice_model.evaluation.made_up import MANIFEST, made_up
from tests.lattice_model.factories import make_batch
from tests.lattice_model.tables import make_table, write_files
from tests.lattice_model.training.runs import network

TABLE = make_table(MANIFEST, 100)


def test_the_oracle_head_of_each_objective_serves(tmp_path: Path) -> None:
    files = write_files(TABLE, tmp_path)
    model = network().train()
    loader = Loader(files, MANIFEST, batch_size=32, shuffle=False, keys=[*KEYS, "number_1"])
    found = predict(model, loader.epoch(), MANIFEST)
    (whole,) = Loader(files, MANIFEST, batch_size=100, shuffle=False).epoch()
    logits_BH = model.eval()(whole.batch)
    heads = list(MANIFEST.heads())
    for position, head in enumerate([("click", None), ("buy", "28d"), ("redeem", "28d")]):
        expected = torch.sigmoid(logits_BH[:, heads.index(head)]).detach().numpy()
        np.testing.assert_allclose(found.probabilities_RO[:, position], expected, rtol=1e-4)
    assert found.keys["impression_id"].tolist() == list(range(100))
    assert set(found.keys) == {*KEYS, "number_1"}
    np.testing.assert_array_equal(found.labels_RO, whole.batch.labels_BO.numpy())
    np.testing.assert_array_equal(found.domain_R, whole.batch.domain_B.numpy())


def test_the_network_goes_on_as_it_was() -> None:
    model = network().train()
    keys = {"impression_id": np.arange(8), "user_id": np.arange(8).astype(str)}
    predict(model, [Loaded(make_batch(MANIFEST, 8, 0), keys)], MANIFEST)
    assert model.training


def test_portfolios_are_the_labelled_rows_of_the_domains_of_an_objective() -> None:
    predictions = made_up(500)
    parts = list(predictions.portfolios())
    assert [(part.domain, part.objective, part.window) for part in parts] == [
        *[(domain, "click", None) for domain in ("web", "app", "mail")],
        *[(domain, "buy", "28d") for domain in ("web", "app", "mail")],
        ("mail", "redeem", "28d"),
    ]
    for part in parts:
        inside = predictions.domain_R == MANIFEST.domains.index(part.domain)
        labelled = ~np.isnan(predictions.labels_RO[:, part.objective_index])
        assert part.rows.tolist() == np.flatnonzero(inside & labelled).tolist()


def test_the_file_has_a_row_an_impression_and_objective(tmp_path: Path) -> None:
    predictions = made_up(200)
    predictions.write(tmp_path / "predictions.parquet")
    frame = pq.read_table(tmp_path / "predictions.parquet").to_pandas()
    assert list(frame.columns) == [
        *("impression_id", "user_id", "domain", "objective", "window", "prediction", "label"),
    ]
    assert len(frame) == sum(len(part.rows) for part in predictions.portfolios())
    assert not frame.duplicated(["impression_id", "objective"]).any()
    assert frame[frame.objective == "click"].window.isna().all()
    row = frame[frame.objective == "buy"].iloc[7]
    assert row.window == "28d"
    assert row.prediction == pytest.approx(predictions.probabilities_RO[row.impression_id, 1])
    assert row.label == predictions.labels_RO[row.impression_id, 1]
    assert row.user_id == predictions.keys["user_id"][row.impression_id]
    assert row.domain == MANIFEST.domains[predictions.domain_R[row.impression_id]]


def test_a_slice_compares_numbers_as_numbers_and_text_as_text() -> None:
    keys = made_up(50).keys
    assert Slice(column="twin", value="0").mask(keys).tolist() == (keys["twin"] == 0).tolist()
    assert Slice(column="type", value="A").mask(keys).tolist() == (keys["type"] == "A").tolist()
    assert Slice(column="type", value="A").name == "type=A"


@pytest.mark.parametrize(
    ("column", "value", "problem"),
    [("shop", "1", "'shop' was not loaded"), ("twin", "yes", "'yes' is not a number")],
)
def test_a_bad_slice(column: str, value: str, problem: str) -> None:
    with pytest.raises(LatticeError, match=problem):
        Slice(column=column, value=value).mask(made_up(10).keys)


def test_users_have_codes() -> None:
    predictions = replace(made_up(4), keys={"user_id": np.array(["b", "a", "b", "c"])})
    codes = predictions.users().tolist()
    assert codes[0] == codes[2] and len(set(codes)) == 3 and min(codes) == 0
