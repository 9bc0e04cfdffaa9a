"""The Zipper's benchmark: what each way of labelling learns from, and when; and that the weighted ones are unbiased."""

import math
from datetime import date
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pyspark.sql import SparkSession

from benchmarks.quality_result import Machine
from benchmarks.zipper.__main__ import redraw
from benchmarks.zipper.generated import WINDOWS, generated
from benchmarks.zipper.online import Judged, Outcome, run
from benchmarks.zipper.page import Generated, Recorded, Setting, generated_page
from benchmarks.zipper.strategies import ElapsedTime, FakeNegatives, Strategy, strategies
from benchmarks.zipper.stream import UNIFORM, Stream
from lattice_model.network.config import Hyperparameters
from lattice_model.training.config import TrainingConfig
from tests.lattice_model.factories import make_manifest

LENGTHS = (1.0, 7.0, 28.0)
INFINITE = float("inf")
ALL = {strategy.name: strategy for strategy in strategies(WINDOWS)}


def stream(shown: list[float], delay: list[float], given: list[int]) -> Stream:
    return Stream(
        started=date(2024, 1, 1),
        manifest=make_manifest(),
        arrays={},
        shown_R=np.array(shown),
        delay_R=np.array(delay),
        windows=LENGTHS,
        assigned={UNIFORM: np.array(given)},
    )


def known(strategy: Strategy, given: Stream) -> dict[int, list[tuple[int, list[float | None]]]]:
    """(impression, targets) by day."""
    found = {}
    for day in range(60):
        samples = strategy.samples(given, day)
        targets = [[None if np.isnan(v) else float(v) for v in row] for row in samples.targets]
        if samples.rows.size:
            found[day] = list(zip(samples.rows.tolist(), targets, strict=True))
    return found


# Shown in the middle of days 0, 0 and 3; converting after half a week, never, and after two hours.
SMALL = stream([0.5, 0.5, 3.5], [3.5, INFINITE, 0.1], [1, 0, 2])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("28d only", {28: [(0, [1]), (1, [0])], 31: [(2, [1])]}),
        ("1d only", {1: [(0, [0]), (1, [0])], 4: [(2, [1])]}),
        ("7d only", {7: [(0, [1]), (1, [0])], 10: [(2, [1])]}),
        ("zipped", {1: [(1, [0, None, None])], 7: [(0, [None, 1, None])], 31: [(2, [None, None, 1])]}),
        ("upper bound", {0: [(0, [1]), (1, [0])], 3: [(2, [1])]}),
        ("fake negatives, weighted", {0: [(0, [0]), (1, [0])], 3: [(2, [0]), (2, [1])], 4: [(0, [1])]}),
        (
            "elapsed-time sampling",
            {
                1: [(0, [None, None, 0]), (1, [None, None, 0])],
                4: [(2, [None, None, 1]), (0, [None, None, 1])],
                28: [(0, [1, 0, None]), (1, [0, 1, None])],
                31: [(2, [0, None, None])],
            },
        ),
        (
            "chained rates",
            {
                1: [(0, [0, None, None]), (1, [0, None, None])],
                4: [(2, [1, None, None])],
                7: [(0, [None, 1, None]), (1, [None, 0, None])],
                28: [(1, [None, None, 0])],
            },
        ),
    ],
)
def test_what_is_learnt_on_each_day(name: str, expected: object) -> None:
    assert known(ALL[name], SMALL) == expected


@given(
    rows=st.lists(
        st.tuples(st.floats(0, 20), st.floats(0.01, 40) | st.just(INFINITE), st.integers(0, 2)), min_size=1, max_size=30
    ),
    day=st.integers(0, 50),
    later=st.floats(0, 30),
)
def test_nothing_is_known_before_it_happens(rows: list[tuple[float, float, int]], day: int, later: float) -> None:
    """Conversions after a day might as well come later still or never: what is learnt until then is the same."""
    before = stream(*(list(column) for column in zip(*rows, strict=True)))
    unknown = before.shown_R + before.delay_R >= day + 1
    for delay in (before.delay_R + later, np.full(len(rows), INFINITE)):
        after = stream(
            before.shown_R.tolist(), np.where(unknown, delay, before.delay_R).tolist(), [row[2] for row in rows]
        )
        for strategy in ALL.values():
            if strategy.name == "upper bound":
                continue
            for until in range(day + 1):
                first, second = strategy.samples(before, until), strategy.samples(after, until)
                np.testing.assert_array_equal(first.rows, second.rows)
                np.testing.assert_array_equal(first.targets, second.targets)


@given(q=st.floats(0.01, 0.9), early=st.floats(0.05, 0.95))
def test_weighted_losses_have_no_gradient_at_the_truth(q: float, early: float) -> None:
    """Samples as often as each kind comes, with rate q, of which a share ``early`` converts before it is labelled."""
    logit = torch.logit(torch.tensor(q, dtype=torch.float64))

    def gradient(strategy: Strategy, kinds: list[tuple[float, float]], heads: list[torch.Tensor]) -> float:
        at = heads[-1].clone().requires_grad_()
        total = torch.zeros((), dtype=torch.float64)
        for often, label in kinds:
            logits = torch.stack([*heads[:-1], at])[None]
            targets = torch.full((1, len(heads)), torch.nan, dtype=torch.float64)
            targets[0, -1] = label
            total = total + often * strategy.loss(logits, targets)
        total.backward()
        assert at.grad is not None
        return float(at.grad)

    assert gradient(FakeNegatives(), [(1.0, 0.0), (q, 1.0)], [logit]) == pytest.approx(0, abs=1e-6)
    later, never = q * (1 - early), (1 - q) / (1 - q * early)
    heads = [*(torch.logit(torch.tensor(p, dtype=torch.float64)) for p in (later, never)), logit]
    kinds = [(1 - q * early, 0.0), (q * early, 1.0), (later, 1.0)]
    assert gradient(ElapsedTime(), kinds, heads) == pytest.approx(0, abs=1e-6)


def test_chained_rates_make_up_the_whole() -> None:
    rates = torch.tensor([[0.1, 0.2, 0.3]])
    assert ALL["chained rates"].probability(torch.logit(rates)).item() == pytest.approx(1 - 0.9 * 0.8 * 0.7)


def test_a_generated_stream_is_what_it_says_and_can_be_learnt(spark: SparkSession) -> None:
    made = generated(spark, drift=INFINITE, delay=2.0, days=40, shown_a_day=300, seed=3)
    assert made.probability_R is not None
    converted = np.isfinite(made.delay_R)
    assert converted.mean() == pytest.approx(made.probability_R.mean(), abs=4 * (0.25 / converted.size) ** 0.5)
    assert np.median(made.delay_R[converted]) == pytest.approx(2.0 * np.log(2), rel=0.15)
    shares = np.bincount(made.assigned["1:1:6"]) / converted.size
    assert shares == pytest.approx([1 / 8, 1 / 8, 6 / 8], abs=0.03)
    hyper = Hyperparameters(dim=8, layers=1, dropout=0.0, fmb_widths=(16,), task_width=8, ffn_width=8)
    training = TrainingConfig(batch_size=64)
    outcomes = [
        run(made, ALL[name], judged_from=30, seed=1, hyper=hyper, training=training)
        for name in ("28d only", "zipped", "upper bound", "upper bound")
    ]
    losses = [outcome.loss for outcome in outcomes]
    # Labels at once beat labels that come late, and the same seed gives the same.
    assert losses[2] < losses[0]
    assert losses[2] == losses[3]
    assert outcomes[1].samples <= converted.size
    assert len(outcomes[0].days) == 10


def test_the_page_says_where_the_zipper_pays_and_with_which_weights() -> None:
    def outcomes(losses: dict[str, float]) -> tuple[Outcome, ...]:
        return tuple(
            Outcome(
                strategy=name,
                source="",
                seed=seed,
                days=(Judged(day=0, rows=10, loss=loss - 0.01 * (seed - 1)),),
                samples=1,
                seconds=1.0,
            )
            for seed in (1, 2)
            for name, loss in losses.items()
        )

    fresh = {"28d only": 0.5, "zipped": 0.48, "zipped 4:1:1": 0.47, "another": 0.49, "upper bound": 0.4}
    stale = {"28d only": 0.5, "zipped": 0.51, "zipped 4:1:1": 0.505, "another": 0.47, "upper bound": 0.5}
    result = Generated(
        command="",
        machine=Machine.here(),
        days=1,
        judged_from=0,
        shown_a_day=10,
        settings=(
            Setting(drift=3, delay=1, outcomes=outcomes(fresh)),
            Setting(drift=math.inf, delay=1, outcomes=outcomes(stale)),
        ),
    )
    # The mean of two seeds: 1 - .48 / .50 = 4.000 % and 1 - .47 / .49 = 4.082 %.
    page = generated_page(result, "picture.png")
    assert "| 3 | 1 | +4.04 | **+6.06** | +2.02 | +20.20 |" in page
    assert "| inf | 1 | -2.02 | -1.01 | **+6.06** | +0.00 |" in page
    assert "ahead of '28d only' in 1 of 2 spaces, by 4.04 at most" in page
    assert "those of 'zipped 4:1:1' (+2.53), the best way of all is 'another' (+4.04)" in page


def test_a_page_is_made_anew_from_what_was_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("docs/images").mkdir(parents=True)
    losses = {"28d only": (0.5, 0.4), "1d only": (1.5, 1.6), "zipped": (0.49, 0.4), "upper bound": (0.45, 0.39)}
    outcomes = tuple(
        Outcome(
            strategy=name,
            source="s",
            seed=1,
            days=tuple(Judged(day=day, rows=10, loss=loss) for day, loss in enumerate(by_day)),
            samples=30,
            seconds=1.0,
        )
        for name, by_day in losses.items()
    )
    result = Recorded(
        space="s", sample=None, objective="o", command="c", machine=Machine.here(), started=date(2024, 1, 1),
        impressions=20, outcomes=outcomes,
    )  # fmt: skip
    Path("r.json").write_text(result.model_dump_json(), encoding="utf-8")
    redraw(Path("r.md"))
    page = Path("r.md").read_text(encoding="utf-8")
    # 1 - .445 / .45 is 1.111 %, over both days; 30 samples of 20 impressions are 1.5 passes.
    assert "| zipped | s | 1.50 | 0.44500 | +1.111 | +1.111 | +1.111 |" in page
    assert Path("docs/images/r.png").stat().st_size > 10_000
