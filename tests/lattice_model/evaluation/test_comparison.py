"""Two models on the same rows."""

from dataclasses import replace

import numpy as np
import pytest

from lattice_model.evaluation.comparison import compare
from lattice_model.evaluation.evaluate import evaluate
from schemas.errors import LatticeError
from tests.lattice_model.evaluation.made_up import made_up, noisy

GOOD = made_up(rows=6000)
POOR = noisy(GOOD, 2.0, seed=5)
COMPARISON = compare(("good", GOOD), ("poor", POOR), split="test", replicates=100)


def test_estimates_are_the_differences_of_the_reports() -> None:
    good, poor = (evaluate(model, model="", split="test").slices[0] for model in (GOOD, POOR))
    assert good.means.auc is not None and poor.means.auc is not None
    assert COMPARISON.mean_auc.estimate == pytest.approx(good.means.auc - poor.means.auc)
    for part, ours, theirs in zip(COMPARISON.portfolios, good.portfolios, poor.portfolios, strict=True):
        assert (part.first, part.second) == (ours, theirs)
        assert ours.auc is not None and theirs.auc is not None
        assert part.auc.estimate == pytest.approx(ours.auc - theirs.auc)


def test_a_better_model_is_told_from_a_poorer_one() -> None:
    assert COMPARISON.mean_auc.low is not None and COMPARISON.mean_auc.low > 0
    assert COMPARISON.mean_normalized_entropy.high is not None and COMPARISON.mean_normalized_entropy.high < 0
    for interval in (COMPARISON.mean_auc, *(part.auc for part in COMPARISON.portfolios)):
        assert interval.low is not None and interval.high is not None and interval.estimate is not None
        assert interval.low < interval.estimate < interval.high


def test_a_model_is_as_good_as_itself() -> None:
    """The replicates are paired: what is drawn for one is drawn for the other."""
    same = compare(("good", GOOD), ("again", GOOD), split="test", replicates=20)
    for interval in (same.mean_auc, *(part.auc for part in same.portfolios)):
        assert (interval.estimate, interval.low, interval.high) == (0, 0, 0)


def test_it_repeats_itself() -> None:
    again = compare(("good", GOOD), ("poor", POOR), split="test", replicates=100)
    assert again == COMPARISON
    assert compare(("good", GOOD), ("poor", POOR), split="test", replicates=100, seed=2) != COMPARISON


@pytest.mark.parametrize("what", ["rows", "labels"])
def test_other_rows_cannot_be_compared(what: str) -> None:
    if what == "rows":
        other = replace(POOR, keys={**POOR.keys, "impression_id": POOR.keys["impression_id"][::-1]})
    else:
        other = replace(POOR, labels_RO=np.ones_like(POOR.labels_RO))
    with pytest.raises(LatticeError, match="do not predict the same rows"):
        compare(("good", GOOD), ("other", other), split="test", replicates=2)
