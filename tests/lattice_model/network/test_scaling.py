"""Normalisation against numpy."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lattice_model.network.scaling import LIMIT, Scaler, signed_log
from schemas.manifest import Normaliser

QUANTILES = (-3.0, 0.0, 0.5, 2.0, 100.0)
NORMALISER = Normaliser(mean=0.4, std=1.3, quantiles=QUANTILES, known=1.0)


def scaled(*values: float, normaliser: Normaliser = NORMALISER) -> torch.Tensor:
    """(len(values), 4)"""
    out: torch.Tensor = Scaler([normaliser])(torch.tensor(values, dtype=torch.float32).reshape(-1, 1))
    return out[0]


@pytest.mark.parametrize(
    ("x", "code"),
    [(-3.0, -1.0), (-9.0, -1.0), (0.0, -0.5), (0.25, -0.25), (0.5, 0.0), (2.0, 0.5), (51.0, 0.75), (1e9, 1)],
)
def test_quantile_code_known_answers(x: float, code: float) -> None:
    assert scaled(x)[0, 1].item() == pytest.approx(code)


@given(st.lists(st.floats(-200, 200, width=32), min_size=1, max_size=20))
def test_agrees_with_numpy(values: list[float]) -> None:
    x = np.array(values, dtype=np.float32)
    standard = ((np.sign(x) * np.log1p(np.abs(x)) - 0.4) / 1.3).clip(-LIMIT, LIMIT)
    code = np.interp(x, QUANTILES, np.linspace(-1, 1, len(QUANTILES)))
    expected = np.stack([standard, code, np.ones_like(x), np.zeros_like(x)], axis=1)
    np.testing.assert_allclose(scaled(*values).numpy(), expected, rtol=1e-4, atol=1e-4)


def test_unknown_is_zero_and_flagged() -> None:
    assert scaled(float("nan")).tolist() == [[0.0, 0.0, 0.0, 1.0]]


@pytest.mark.parametrize("x", [float("inf"), float("-inf"), 3e38])
def test_extremes_stay_within_limits(x: float) -> None:
    out = scaled(x)[0]
    assert out.isfinite().all()
    assert abs(out[0].item()) <= LIMIT and abs(out[1].item()) == 1.0


@pytest.mark.parametrize("quantiles", [(), (2.0,), (2.0, 2.0, 2.0)])
def test_a_constant_or_never_known_feature_gives_finite_codes(quantiles: tuple[float, ...]) -> None:
    out = scaled(2.0, -5.0, 7.0, normaliser=Normaliser(mean=1.1, std=0.0, quantiles=quantiles, known=0.0))
    assert out.isfinite().all()
    assert out[:, 1].unique().numel() == 1


def test_features_with_different_numbers_of_quantiles_do_not_disturb_each_other() -> None:
    short = Normaliser(mean=0.0, std=1.0, quantiles=(0.0, 1.0), known=1.0)
    raw = torch.tensor([[0.25, 0.25], [9.0, 9.0]])
    both = Scaler([NORMALISER, short])(raw)
    torch.testing.assert_close(both[0], scaled(0.25, 9.0))
    torch.testing.assert_close(both[1], scaled(0.25, 9.0, normaliser=short))


def test_signed_log_is_odd() -> None:
    x = torch.tensor([0.0, 0.5, 3.0, 1e6])
    torch.testing.assert_close(signed_log(-x), -signed_log(x))
    torch.testing.assert_close(signed_log(x), x.log1p())
