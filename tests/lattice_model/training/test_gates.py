"""Which models may serve."""

import pytest

from lattice_model.evaluation.heads import HeadSums
from lattice_model.training.gates import Gates, failures
from schemas.errors import LatticeError

GATES = Gates(ne_at_most_worse=0.002, calibration=(0.9, 1.1), minimum_positives=100)


def sums(normalized_entropy: float, calibration: float, positives: float = 200.0) -> HeadSums:
    return HeadSums(1000 * normalized_entropy, 1000.0, calibration * positives, positives, 5000.0)


BEFORE = {"buy": sums(0.8, 1.0), "click": sums(0.9, 1.0)}


@pytest.mark.parametrize(
    ("buy", "click", "failed"),
    [
        (sums(0.8, 1.0), sums(0.9, 1.0), []),
        (sums(0.7, 1.1), sums(0.999, 0.9), []),  # what counts is the entropy over all labels
        (sums(0.8039, 1.0), sums(0.9, 1.0), []),
        (sums(0.8041, 1.0), sums(0.9, 1.0), ["normalized entropy is 0.8520, that of the serving model 0.8500"]),
        (sums(0.8, 1.11), sums(0.9, 1.0), ["calibration of 'buy' is 1.110, outside 0.9 to 1.1"]),
        (sums(0.8, 5.0, 99), sums(0.9, 1.0), []),  # too few to say
        (sums(0.9, 0.5), sums(0.9, 0.8), ["entropy", "'buy'", "'click'"]),
        (sums(0.1, 1.0, 99), sums(0.1, 1.0, 99), ["no objective has 100 positives"]),
    ],
)
def test_a_model_passes_or_it_is_said_why_not(buy: HeadSums, click: HeadSums, failed: list[str]) -> None:
    found = failures(GATES, BEFORE, {"buy": buy, "click": click})
    assert len(found) == len(failed)
    assert all(part in text for part, text in zip(failed, found, strict=True))


@pytest.mark.parametrize("calibration", [(1.1, 1.2), (0.5, 0.9), (-1.0, 2.0)])
def test_a_calibration_range_holds_what_is_right(calibration: tuple[float, float]) -> None:
    with pytest.raises(LatticeError, match="no range around 1"):
        Gates(calibration=calibration)
