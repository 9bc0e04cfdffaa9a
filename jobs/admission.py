"""Lets the rows of a raw table in: those that break an expectation go to quarantine, up to the space's limit."""

from dataclasses import dataclass, field
from datetime import datetime

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from pipelines.quarantine import REASON, judged, kept_apart, repeated
from pipelines.tables import Published, among, exists, read_delta, replace_where
from schemas.expectations import Expectation
from schemas.quality import FEW, Outcome


@dataclass(kw_only=True)
class Admission:
    """The check of one batch of a raw table, as ``pipelines.tables.publish`` calls it.

    Where every expectation holds it costs what the suite costs; rows are only then told apart when one fails.
    """

    place: str
    """The space's quarantine table (URI)."""
    table: str
    suite: list[Expectation]
    keys: tuple[str, ...]
    limit: float
    run: str
    since: datetime | None
    """What arrived before is published; None if nothing is, or all of it is made anew."""
    through: datetime
    before: Published | None = None
    """What is published, where a key must be unique among that, too."""
    known: DataFrame | None = None
    """Its rows."""
    apart: int = field(default=0, init=False)
    """How many rows went to quarantine."""
    outcomes: tuple[Outcome, ...] = field(default=(), init=False)

    def __call__(self, candidate: DataFrame, count: int | None = None) -> DataFrame | None:
        """The rows to be published in place of the candidate; None if all of it may be.

        Raises:
            LatticeError: too many rows are bad, or it is not a matter of rows.
        """
        # Great Expectations takes ten seconds to import, and a run whose stages are all finished needs none of it.
        from pipelines.quality import check, examine, refusal

        if self.apart:
            check(candidate, self.table, self.suite, self.keys, count)
            return None
        self.outcomes, failure = examine(candidate, self.suite, self.keys, count)
        failed = list(failure.expectations) if failure else []
        problems = failure.problems if failure else ()
        key = next((e for e in self.suite if e.kind == "unique"), None)
        again = self._again(candidate, key.column, count) if key is not None else 0
        if key is not None and again:
            failed += [key] if key not in failed else []
            problems = (
                *problems,
                f"{key.column} is published already in {again:,} rows; this matters because {key.why}",
            )
        if not failed:
            self._forget(candidate.sparkSession)
            return None
        if any(e.kind == "not_empty" for e in failed):
            raise refusal(self.table, self.suite, problems)
        found = judged(candidate, failed, self.known)
        total, bad = found.agg(F.count(F.lit(1)), F.count(REASON)).collect()[0]
        if bad > self.limit * total:
            share = f"of which quality.quarantine of the space file allows a share of {self.limit:g}"
            allowed = f" ({bad:,} of {total:,} new rows would have to go to quarantine, {share})"
            raise refusal(self.table, self.suite, problems, allowed)
        rows = kept_apart(found.where(F.col(REASON).isNotNull()), self.table, self.through, self.run)
        replace_where(rows, self.place, self._batch, self.run)
        self.apart = bad
        return found.where(F.col(REASON).isNull()).drop(REASON)

    def _again(self, candidate: DataFrame, key: str, count: int | None) -> int:
        """How many different keys of the candidate are published already."""
        if self.before is None or self.known is None:
            return 0
        if count is None or count > FEW:
            return repeated(candidate, self.known, key).count()
        return len(among(self.before, key, candidate.select(key).toArrow().column(key)).unique()) if count else 0

    @property
    def _batch(self) -> str:
        """What a run that was killed, or that this one makes anew, may have left of the same batch."""
        later = f" AND through > TIMESTAMP '{self.since.isoformat()}'" if self.since else ""
        return f"table = '{self.table}'{later}"

    def _forget(self, spark: SparkSession) -> None:
        if exists(self.place):
            left = read_delta(spark, self.place).where(self._batch)
            if not left.isEmpty():
                replace_where(left.limit(0), self.place, self._batch, self.run)
