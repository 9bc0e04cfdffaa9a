"""What an evaluation says, as JSON: the contract between the metrics, the report and the benchmarks.

A value that does not exist (an AUC without a positive, a calibration without a label) is null.
"""

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from schemas.manifest import PinnedTable, Split

MINIMUM_POSITIVES = 200
MINIMUM_USERS = 50


class _Result(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PortfolioMetrics(_Result):
    """One domain and objective at the objective's oracle head, over the rows that have a label."""

    domain: str
    objective: str
    window: str | None
    """The oracle window such as ``28d``; null for an immediate objective."""
    rows: int
    positives: int
    negatives: int
    users_with_positive: int
    base_rate: float | None
    """positives / rows."""
    auc: float | None
    gauc: float | None = None
    """Mean AUC within each user's rows, weighted by their number."""
    bce: float | None
    """Mean binary cross entropy, in nats."""
    normalized_entropy: float | None
    """``bce`` over the entropy of the base rate; under 1 is better than predicting the base rate."""
    calibration: float | None
    """Sum of the predictions over the number of positives; 1 is right, above 1 predicts too much."""
    expected_calibration_error: float | None
    """Mean over equal-mass bins of |mean prediction - share of positives|, weighted by rows."""
    in_mean: bool
    """False under 200 positives or under 50 users with a positive: reported, but left out of means."""


class Means(_Result):
    """Unweighted means over the portfolios that have ``in_mean``."""

    portfolios: int
    auc: float | None
    normalized_entropy: float | None


class SliceMetrics(_Result):
    """Metrics on the rows of one slice; ``all`` is every row."""

    name: str
    rows: int
    portfolios: tuple[PortfolioMetrics, ...]
    means: Means


class CalibrationPoint(_Result):
    """One of the equal-mass bins of the predictions."""

    predicted: float
    """Mean prediction in the bin."""
    observed: float
    """Share of positives in the bin."""
    rows: int


class CalibrationCurve(_Result):
    """The bins of one portfolio, from the lowest predictions to the highest."""

    domain: str
    objective: str
    window: str | None
    points: tuple[CalibrationPoint, ...]


class MetricsReport(_Result):
    """One model on one split of one evaluation table."""

    model: str
    space: str
    group: str
    split: Split
    fingerprint: str
    """The manifest's."""
    tables: dict[str, PinnedTable]
    """The manifest's: ``training``, ``evaluation`` and every parent of theirs."""
    rows: int
    users: int
    minimum_positives: int = MINIMUM_POSITIVES
    minimum_users: int = MINIMUM_USERS
    slices: tuple[SliceMetrics, ...]
    """The first is ``all``."""
    calibration_curves: tuple[CalibrationCurve, ...]
    """Over all rows, one a portfolio that has a label."""

    def write(self, path: Path) -> None:
        path.write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> "MetricsReport":
        return cls.model_validate_json(path.read_text(encoding="utf-8"))


class Interval(_Result):
    """An estimate on all rows and a 95 % interval of it by a bootstrap over users."""

    estimate: float | None
    low: float | None
    high: float | None


class PortfolioComparison(_Result):
    """Two models on one portfolio; differences are first minus second."""

    first: PortfolioMetrics
    second: PortfolioMetrics
    auc: Interval
    normalized_entropy: Interval


class Comparison(_Result):
    """Two models on the same rows; the means are over the portfolios that have ``in_mean``."""

    first: str
    second: str
    replicates: int
    seed: int
    portfolios: tuple[PortfolioComparison, ...]
    mean_auc: Interval
    mean_normalized_entropy: Interval
