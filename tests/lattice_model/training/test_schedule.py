"""The learning rate over a run."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lattice_model.training.config import TrainingConfig
from lattice_model.training.schedule import learning_rate_share


@pytest.mark.parametrize(
    ("schedule", "shares"),
    [
        ("constant", [0.5, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]),
        ("linear", [0.5, 1.0, 5.5 / 6, 5 / 6, 4.5 / 6, 4 / 6, 3.5 / 6, 0.5]),
        ("cosine", [0.5, 1.0, 0.966506, 0.875, 0.75, 0.625, 0.533494, 0.5]),
    ],
)
def test_known_shares(schedule: str, shares: list[float]) -> None:
    config = TrainingConfig.model_validate({"schedule": schedule, "warmup": 0.25, "final_share": 0.5})
    assert [learning_rate_share(step, 8, config) for step in range(8)] == pytest.approx(shares, abs=1e-6)


@given(st.integers(1, 500), st.floats(0, 0.9), st.floats(0, 1), st.sampled_from(["constant", "linear", "cosine"]))
def test_it_rises_to_the_peak_and_never_after(steps: int, warmup: float, final: float, schedule: str) -> None:
    config = TrainingConfig.model_validate({"schedule": schedule, "warmup": warmup, "final_share": final})
    shares = [learning_rate_share(step, steps, config) for step in range(steps)]
    peak = round(warmup * steps)
    assert all(0 <= share <= 1 for share in shares)
    assert shares[:peak] == sorted(shares[:peak])
    assert shares[peak:] == sorted(shares[peak:], reverse=True)
    if schedule != "constant" and peak < steps:
        assert shares[-1] == pytest.approx(final)
