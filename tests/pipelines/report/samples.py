"""A plausible run to render: three domains, an immediate objective and two in windows, made by formula."""

import math
from datetime import UTC, date, datetime, timedelta
from typing import Any

from lattice_model.evaluation.results import (
    CalibrationCurve,
    CalibrationPoint,
    Means,
    MetricsReport,
    PortfolioMetrics,
    SliceMetrics,
)
from lattice_model.training.config import TrainingConfig
from lattice_model.training.log import TrainingLog, TrainingPoint
from schemas.manifest import PinnedTable
from schemas.report import (
    DelayCurve,
    EvaluationCounts,
    FeedbackCounts,
    ImpressionCounts,
    LabelCounts,
    ReportStatistics,
    RunInfo,
    SplitRange,
    TableVersion,
    WeekCounts,
    ZipperCounts,
)

WINDOWS = {"1d": 1.0, "7d": 7.0, "28d": 28.0}
ROWS = {"coupon": 160_669, "display": 491_243, "mailer": 422_814}
# domain, objective, rates by window (None: immediate), AUC, NE
PORTFOLIOS: tuple[tuple[str, str, dict[str | None, float], float, float], ...] = (
    ("display", "basket", {None: 0.0372}, 0.8581, 0.801),
    ("mailer", "basket", {None: 0.0365}, 0.8552, 0.809),
    ("coupon", "purchase", {"1d": 0.008, "7d": 0.052, "28d": 0.147}, 0.8311, 0.783),
    ("display", "purchase", {"1d": 0.0095, "7d": 0.067, "28d": 0.190}, 0.8702, 0.722),
    ("mailer", "purchase", {"1d": 0.0094, "7d": 0.066, "28d": 0.188}, 0.8689, 0.725),
    ("coupon", "redeem", {"1d": 0.00002, "7d": 0.0009, "28d": 0.0035}, 0.7921, 0.951),
)
WEEKS = tuple(date(2016, 12, 26) + timedelta(weeks=week) for week in range(53))
CLOSED = date(2018, 1, 1)
FIRST, LAST = datetime(2017, 1, 1, 5, 3, 12, tzinfo=UTC), datetime(2018, 1, 1, 4, 58, tzinfo=UTC)


def run_info(title: str = "The Complete Journey") -> RunInfo:
    rows = {"impressions": 1_074_726, "feedback": 3_519_023, "unified": 1_074_726, "zipped": 1_049_931}
    rows |= {"evaluation": 197_240, "training": 846_380}
    return RunInfo(
        space="complete_journey",
        title=title,
        group="all",
        sample="demo",
        finished=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        tables=tuple(
            TableVersion(name=name, version=number % 3, rows=count, fingerprint=f"{number + 11:02x}c4a90e5d7b31f8")
            for number, (name, count) in enumerate(rows.items())
        ),
    )


def statistics() -> ReportStatistics:
    labels = []
    for domain, objective, rates, _, _ in PORTFOLIOS:
        for window, rate in rates.items():
            labels += [_week(domain, objective, window, rate, index) for index in range(len(WEEKS))]
    return ReportStatistics(
        windows=tuple(WINDOWS),
        window_days=tuple(WINDOWS.values()),
        splits=(
            SplitRange(name="validation", start=date(2017, 8, 1), end=date(2017, 8, 31)),
            SplitRange(name="test", start=date(2017, 10, 30), end=date(2017, 12, 3)),
        ),
        impressions=tuple(
            ImpressionCounts(domain=domain, rows=rows, users=2_469, items=302, first=FIRST, last=LAST)
            for domain, rows in ROWS.items()
        ),
        feedback=tuple(
            FeedbackCounts(objective=objective, rows=rows, users=users, first=FIRST, last=LAST)
            for objective, rows, users in (
                ("basket", 1_116_204, 2_469),
                ("purchase", 1_304_918, 2_469),
                ("redeem", 3_188, 434),
            )
        ),
        weeks=tuple(
            WeekCounts(domain=domain, week=week, rows=_rows(domain, index))
            for domain in ROWS
            for index, week in enumerate(WEEKS)
        ),
        labels=tuple(labels),
        zipper=tuple(_zipper(domain, rows) for domain, rows in ROWS.items()),
        evaluation=tuple(
            EvaluationCounts(
                split=split,
                domain=domain,
                objective=objective,
                rows=rows,
                labelled=rows,
                positives=round(rows * list(rates.values())[-1]),
            )
            for split, rows in (("validation", 41_200), ("test", 47_950))
            for domain, objective, rates, _, _ in PORTFOLIOS
        ),
        delays=tuple(_delays(domain, objective) for domain, objective, rates, _, _ in PORTFOLIOS if None not in rates),
    )


def _rows(domain: str, week: int) -> int:
    """A year whose first and last weeks are short, and campaigns that come in bursts."""
    season = 1 + 0.18 * math.sin(week / 6) + 0.06 * math.cos(week * 1.9)
    if domain == "coupon":
        season *= 2.4 if week % 4 == 0 else 0.4
    edge = 0.15 if week in (0, 52) else 1.0
    return round(ROWS[domain] / 53 * season * edge)


def _week(domain: str, objective: str, window: str | None, rate: float, index: int) -> LabelCounts:
    rows = _rows(domain, index) // (3 if window else 1)
    days = WINDOWS[window] if window else 0.0
    closed = min(max(((CLOSED - WEEKS[index]).days - days) / 7, 0.0), 1.0)
    early = rows // 9 if index == 0 else 0
    labelled = round((rows - early) * closed)
    rate *= 1 + 0.12 * math.sin(index / 5) + 0.08 * math.cos(index * 2.3)
    return LabelCounts(
        domain=domain,
        objective=objective,
        window=window,
        week=WEEKS[index],
        rows=rows,
        labelled=labelled,
        positives=round(labelled * rate),
        early=early,
        open=rows - early - labelled,
    )


def _zipper(domain: str, rows: int) -> ZipperCounts:
    windows = {"1d": rows // 3 - rows // 900, "7d": rows // 3 - rows // 180, "28d": rows // 3 - rows // 60}
    zipped = sum(windows.values())
    return ZipperCounts(domain=domain, unified=rows, zipped=zipped, distinct=zipped, windows=windows)


def _delays(domain: str, objective: str) -> DelayCurve:
    pace = {"purchase": 9.0, "redeem": 16.0}[objective] * {"coupon": 1.2, "display": 1.0, "mailer": 1.06}[domain]
    days = tuple(sorted({*WINDOWS.values(), *(step / 2 for step in range(56))}))
    total = ROWS[domain] // (6 if objective == "purchase" else 280)
    seen = tuple(round(total * (1 - math.exp(-day / pace)) / (1 - math.exp(-28 / pace))) for day in days)
    at = dict(zip(days, seen, strict=True))
    return DelayCurve(
        domain=domain,
        objective=objective,
        days=days,
        conversions=seen,
        windows={name: at[length] for name, length in WINDOWS.items()},
    )


def _tables() -> dict[str, PinnedTable]:
    return {t.name: PinnedTable(uri=f"warehouse/{t.name}", version=t.version, rows=t.rows) for t in run_info().tables}


def training_log() -> dict[str, Any]:
    rates = {"basket": 0.037, "purchase/1d": 0.009, "purchase/7d": 0.065, "purchase/28d": 0.185}
    rates |= {"redeem/1d": 0.00002, "redeem/7d": 0.0009, "redeem/28d": 0.0035}
    curve, smoothed = [], 0.34
    for index in range(1, 84):
        loss = 0.185 + 0.16 * math.exp(-index / 9) + 0.006 * math.sin(index * 7.1) + 0.004 * math.cos(index * 3.3)
        smoothed = 0.9 * smoothed + 0.1 * loss
        heads = {name: _entropy(rate) * (0.72 + 2.2 * loss**2 * 4) for name, rate in rates.items()}
        curve.append(
            TrainingPoint(
                step=index * 10,
                epoch=1,
                rows=index * 10_240,
                loss=loss,
                smoothed=smoothed,
                head_losses=heads | ({"redeem/1d": None} if index % 3 else {}),
                learning_rate=1e-3 * (1 - index / 84),
                rows_per_second=11_000 * (1 - math.exp(-index / 2)) + 500 * math.sin(index),
            )
        )
    log = TrainingLog(
        space="complete_journey",
        group="all",
        network="lattice",
        split="test",
        fingerprint="0fc4a90e5d7b31f8",
        tables=_tables(),
        config=TrainingConfig(),
        device="cpu",
        dense_parameters=1_204_416,
        embedding_parameters=182_016,
        heads=tuple(rates),
        rows=849_920,
        steps=830,
        seconds=80.4,
        rows_per_second=10_571.0,
        waiting_share=0.031,
        curve=tuple(curve),
    )
    return log.model_dump(mode="json")


def metrics() -> dict[str, Any]:
    whole = _slice("all", 1.0, 0.0)
    report = MetricsReport(
        model="lattice",
        space="complete_journey",
        group="all",
        split="test",
        fingerprint="0fc4a90e5d7b31f8",
        tables=_tables(),
        rows=120_344,
        users=2_431,
        slices=(whole, _slice("twin=0", 0.55, -0.004), _slice("campaign_type=B", 0.07, 0.011)),
        calibration_curves=tuple(_curve(portfolio) for portfolio in whole.portfolios),
    )
    return report.model_dump(mode="json")


def _entropy(rate: float) -> float:
    return -rate * math.log(rate) - (1 - rate) * math.log(1 - rate)


def _slice(name: str, share: float, shift: float) -> SliceMetrics:
    portfolios = []
    for place, (domain, objective, rates, auc, entropy) in enumerate(PORTFOLIOS):
        window, rate = list(rates.items())[-1]
        rows = round(ROWS[domain] / 9 * share)
        positives = round(rows * rate)
        users = min(positives * 3 // 4, 1_508)
        portfolios.append(
            PortfolioMetrics(
                domain=domain,
                objective=objective,
                window=window,
                rows=rows,
                positives=positives,
                negatives=rows - positives,
                users_with_positive=users,
                base_rate=positives / rows,
                auc=auc + shift,
                bce=_entropy(rate) * (entropy - shift),
                normalized_entropy=entropy - shift,
                calibration=1.0 + 0.017 * math.sin(place * 2 + 1),
                expected_calibration_error=rate * 0.04,
                in_mean=positives >= 200 and users >= 50,
            )
        )
    counted = [p for p in portfolios if p.in_mean]
    means = Means(
        portfolios=len(counted),
        auc=sum(p.auc or 0.0 for p in counted) / len(counted),
        normalized_entropy=sum(p.normalized_entropy or 0.0 for p in counted) / len(counted),
    )
    return SliceMetrics(name=name, rows=round(120_344 * share), portfolios=tuple(portfolios), means=means)


def _curve(portfolio: PortfolioMetrics) -> CalibrationCurve:
    base = portfolio.base_rate or 0.0
    points = []
    for place in range(20):
        predicted = base * 0.04 * math.exp(place / 4.6)
        noise = 1 + (0.05 if portfolio.in_mean else 0.6) * math.sin(place * 5 + base * 1e3)
        points.append(CalibrationPoint(predicted=predicted, observed=predicted * noise, rows=portfolio.rows // 20))
    return CalibrationCurve(
        domain=portfolio.domain, objective=portfolio.objective, window=portfolio.window, points=tuple(points)
    )
