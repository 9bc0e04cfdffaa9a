"""What a stage works with: it reads what earlier stages published, and checks and publishes what it makes.

A stage adds to its tables what became available since they were published: the whole past in a build, a day in a
night. Its work is the same for both.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from pyspark.sql import DataFrame, SparkSession

from jobs.admission import Admission
from jobs.logs import console, say
from jobs.plans import plan_of
from jobs.progress import watched
from jobs.runs import Made, Run
from jobs.target import Target
from pipelines.concatenation import as_declared
from pipelines.spans import Span, any_holds
from pipelines.tables import Published, byte_size, join_uri, publish, published, read, read_few, require
from pipelines.warehouse import write_text
from schemas.errors import LatticeError
from schemas.evolution import check_evolution
from schemas.expectations import Expectation
from schemas.quality import Checked, Measure, Outcome

Frames = DataFrame | Iterable[DataFrame]


@dataclass
class Context:
    """What a stage works with.

    ``through`` is the instant before which everything is to be in its tables. ``grow``: keep what is published and add
    what it lacks; otherwise everything is made anew.
    """

    target: Target
    run: Run
    stage: str
    spark: SparkSession
    fingerprint: str
    through: datetime
    grow: bool = False
    outcomes: dict[str, tuple[Outcome, ...]] = field(default_factory=dict)
    """By table (URI), how the expectations of what it gained turned out."""
    measures: dict[str, tuple[Measure, ...]] = field(default_factory=dict)
    """By table, what changed against the last night."""

    missing: dict[str, int] = field(default_factory=dict)
    """By table, how many raw rows of days before were found in no table."""

    def reach(self, uri: str) -> Published:
        """What is published of a table; what the stage makes reaches no further."""
        table = require(uri, "lattice build")
        if table.through is not None:
            self.through = min(self.through, table.through)
        return table

    def read(self, uri: str, column: str | None = None, spans: Sequence[Span] = ()) -> DataFrame:
        """The published rows of an earlier stage's table.

        With a time's ``column`` those that lie in any of the ``spans``.
        """
        table = self.reach(uri)
        if column is None:
            return read(self.spark, table)
        few = read_few(self.spark, table, column, spans)
        return read(self.spark, table).where(any_holds(spans, column)) if few is None else few

    def read_small(self, uri: str) -> DataFrame:
        """All published rows of a table that may well be small."""
        table = self.reach(uri)
        few = read_few(self.spark, table)
        return read(self.spark, table) if few is None else few

    def read_features(self, uri: str, column: str | None = None, spans: Sequence[Span] = ()) -> DataFrame:
        """The published rows of ``unified`` or ``zipped``, as the space file declares them now."""
        rows = self.read(uri, column, spans)
        evolved = require(uri, "lattice build").evolved
        return as_declared(rows, self.target.computed, self.target.group) if evolved else rows

    def lacking(self, uri: str, one_form: bool = False) -> Span:
        """The span of time that the table lacks; it is empty (its ends are one) where nothing is lacking.

        ``one_form``: all its rows must have been made under one space file.
        """
        found = published(uri) if self.grow else None
        if found is None or (one_form and found.plan != self.target.table_plan(uri)):
            return Span(None, self.through)
        through = grows(found, self.target)
        return Span(through, max(self.through, through))

    def publish(
        self,
        make: Callable[[Span], Frames],
        uri: str,
        suite: list[Expectation],
        keys: Sequence[str],
        options: dict[str, str] | None = None,
        also: Callable[[DataFrame, int], None] | None = None,
        pins: Callable[[], Mapping[str, int]] = dict,
        beside: Callable[[Published], None] = lambda _: None,
        raw: bool = False,
        one_form: bool = False,
    ) -> Published:
        """Write what the table lacks, hold it against the suite (and ``also``, which is told their number), publish it.

        ``raw``: the rows come from outside, and a few bad ones go to quarantine; elsewhere each would be our mistake.
        ``one_form``: under another space file the table is made anew, since its readers take one layout at a time.
        ``make`` gives the rows of a span of time, no frame at all where it is known that there are none (a table must
        begin with one); for the rest see pipelines.tables.publish.
        """
        span = self.lacking(uri, one_form)
        if span.empty:
            return require(uri, "lattice build")
        # A day, or the beginning, may well hold nothing yet; a whole build that does must be a mistake.
        wanted = [e for e in suite if e.kind != "not_empty"] if self.grow else suite
        before = None if span.start is None else require(uri, "lattice build")
        known = read(self.spark, before) if before and raw and any(e.kind == "unique" for e in suite) else None
        admission = self._admission(uri, wanted, keys, span.start, before, known) if raw else None
        check = admission or self._refusing(uri, wanted, keys)

        def checked(candidate: DataFrame, made: Published) -> DataFrame | None:
            count = made.rows - (before.rows if before else 0)
            mended = check(candidate, count)
            if also is not None and mended is None:
                also(candidate, count)
            return mended

        return self._timed(
            uri,
            before,
            admission,
            lambda: publish(
                make(span),
                uri,
                fingerprint=self.fingerprint,
                check=checked,
                options=options,
                append=span.start is not None,
                through=self.through,
                plan=self.target.table_plan(uri),
                pins=pins,
                beside=beside,
                run=self.run.id,
            ),
        )

    def replace(self, frame: DataFrame, uri: str, suite: list[Expectation], keys: Sequence[str]) -> Published:
        """Write a raw table that has no times, whole."""
        admission = self._admission(uri, suite, keys)
        return self._timed(
            uri,
            None,
            admission,
            lambda: publish(
                frame,
                uri,
                fingerprint=self.fingerprint,
                check=lambda rows, made: admission(rows, made.rows),
                run=self.run.id,
            ),
        )

    def _admission(
        self,
        uri: str,
        suite: list[Expectation],
        keys: Sequence[str],
        since: datetime | None = None,
        before: Published | None = None,
        known: DataFrame | None = None,
    ) -> Admission:
        return Admission(
            place=self.target.quarantine,
            table=_name(uri),
            suite=suite,
            keys=tuple(keys),
            limit=self.target.space.quality.quarantine,
            run=self.run.id,
            since=since,
            through=self.through,
            before=before,
            known=known,
        )

    def _refusing(self, uri: str, suite: list[Expectation], keys: Sequence[str]) -> Callable[[DataFrame, int], None]:
        def refuse(candidate: DataFrame, count: int) -> None:
            from pipelines.quality import check  # not where everything is skipped: see _work

            self.outcomes[uri] = check(candidate, _name(uri), suite, tuple(keys), count)

        return refuse

    def _timed(
        self, uri: str, before: Published | None, admission: Admission | None, work: Callable[[], Published]
    ) -> Published:
        """Show progress, and at the end what was made."""
        started = time.time()
        name, grown_from = _name(uri), (before.rows, byte_size(before)) if before else (0, 0)
        with watched(console, self.spark, name):
            table = work()
        made = Made(
            table=table,
            stage=self.stage,
            rows=table.rows - grown_from[0],
            bytes=byte_size(table) - grown_from[1],
            quarantined=admission.apart if admission else 0,
            missing=self.missing.get(uri, 0),
            started=started,
            ended=time.time(),
        )
        self.run.made.append(made)
        self._keep_checks(made, admission)
        seconds = made.ended - made.started
        say(
            f"  {name:<24} version {table.version:<4} {made.rows:>13,} rows {seconds:8.1f} s",
            **{"table": name, "version": table.version, "rows": made.rows, "bytes": made.bytes, "seconds": seconds},
        )
        if made.quarantined:
            apart = f"  {name:<24} {made.quarantined:,} rows are in quarantine, with the reasons"
            say(apart, table=name, quarantined=made.quarantined)
        return table

    def _keep_checks(self, made: Made, admission: Admission | None) -> None:
        """Keep what was checked, for the page of `lattice quality`."""
        uri = made.table.uri
        checked = Checked(
            table=made.name,
            run=self.run.id,
            through=self.through,
            rows=made.rows,
            outcomes=admission.outcomes if admission else self.outcomes.get(uri, ()),
            quarantined=made.quarantined,
            measures=self.measures.get(uri, ()),
        )
        write_text(join_uri(uri.rsplit("/", 1)[0], "checks", f"{made.name}.json"), checked.model_dump_json(indent=1))


def _name(uri: str) -> str:
    return uri.rsplit("/", 1)[-1]


def grows(table: Published, target: Target) -> datetime:
    """Up to when a table holds everything.

    Raises:
        LatticeError: nothing can be added to it, because its rows were made in another way.
    """
    wanted = target.table_plan(table.uri)
    if table.through is not None and table.plan == wanted:
        return table.through
    before = plan_of(target, table.plan) if table.through is not None else None
    if table.through is None or before is None or before.sample != target.sample:
        raise LatticeError(
            table.uri,
            "The table was built from another sample or an unknown space file, so no night can be added to it.",
            "Build it anew with `lattice build`, or give the space and sample that it was built with.",
        )
    now = target.plans_made[wanted]
    if (before.chosen, before.pinned) != (now.chosen, now.pinned):
        chosen = target.selection
        effective = f"selection {chosen.version}" if chosen else "no selection: every feature is used"
        raise LatticeError(
            table.uri,
            f"The table was built with another selection of features (effective now: {effective}), so no night can be "
            "added to it.",
            "Build it anew with `lattice build`.",
        )
    check_evolution(before.space, target.space, target.group, table.through)
    return table.through
