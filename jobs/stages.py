"""Runs stages of the build: skips the finished ones, shows progress, checks and publishes what each one makes.

A stage adds to its tables what became available since they were published: the whole past in a build, a day in a
night. Its work is the same for both.
"""

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from importlib import import_module

from pyspark.sql import DataFrame, SparkSession
from rich.console import Console

from jobs import options
from jobs.progress import watched
from jobs.spark_errors import explained
from jobs.target import Target, fingerprint
from pipelines.session import spark_session
from pipelines.spans import Span
from pipelines.tables import Published, publish, published, read, require
from pipelines.warehouse import locked
from schemas.errors import LatticeError
from schemas.expectations import Expectation

console = Console(stderr=True)
Frames = DataFrame | Iterable[DataFrame]


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One job of the build; ``work`` publishes exactly the ``tables`` (URIs) through the context."""

    name: str
    title: str
    tables: Callable[[Target], list[str]]
    work: Callable[["Context"], None]


@dataclass(frozen=True)
class Made:
    """What one table took: the version, the rows that it gained, and from when to when (seconds since the epoch)."""

    table: Published
    rows: int
    started: float
    ended: float


@dataclass
class Context:
    """What a stage works with.

    ``through`` is the instant before which everything is to be in its tables. ``grow``: keep what is published and add
    what it lacks; otherwise everything is made anew.
    """

    target: Target
    spark: SparkSession
    fingerprint: str
    through: datetime
    grow: bool = False
    made: list[Made] = field(default_factory=list)

    def read(self, uri: str) -> DataFrame:
        """The published rows of an earlier stage's table; what is made of them reaches no further than they do."""
        table = require(uri, "lattice build")
        if table.through is not None:
            self.through = min(self.through, table.through)
        return read(self.spark, table)

    def lacking(self, uri: str) -> Span:
        """The span of time that the table lacks; it is empty (its ends are one) where nothing is lacking."""
        found = published(uri) if self.grow else None
        if found is None:
            return Span(None, self.through)
        through = _grows(found, self.target)
        return Span(through, max(self.through, through))

    def publish(
        self,
        make: Callable[[Span], Frames],
        uri: str,
        suite: list[Expectation],
        keys: Sequence[str],
        options: dict[str, str] | None = None,
        also: Callable[[DataFrame], None] | None = None,
        pins: Callable[[], Mapping[str, int]] = dict,
        beside: Callable[[Published], None] = lambda _: None,
    ) -> Published:
        """Write what the table lacks, hold it against the suite (and ``also``), publish it.

        ``make`` gives the rows of a span of time, no frame at all where it is known that there are none (a table must
        begin with one); for the rest see pipelines.tables.publish.
        """
        span = self.lacking(uri)
        if span.empty:
            return require(uri, "lattice build")
        # A day, or the beginning, may well hold nothing yet; a whole build that does must be a mistake.
        wanted = [e for e in suite if e.kind != "not_empty"] if self.grow else suite
        before = 0 if span.start is None else require(uri, "lattice build").rows
        check = self._check(uri, wanted, keys, also)
        return self._timed(
            uri,
            before,
            lambda: publish(
                make(span),
                uri,
                fingerprint=self.fingerprint,
                check=check,
                options=options,
                append=self.grow,
                through=self.through,
                plan=self.target.plan_of(uri),
                pins=pins,
                beside=beside,
            ),
        )

    def replace(self, frame: DataFrame, uri: str, suite: list[Expectation], keys: Sequence[str]) -> Published:
        """Write a table that has no times, whole."""
        check = self._check(uri, suite, keys, None)
        return self._timed(uri, 0, lambda: publish(frame, uri, fingerprint=self.fingerprint, check=check))

    def _check(
        self,
        uri: str,
        suite: list[Expectation],
        keys: Sequence[str],
        also: Callable[[DataFrame], None] | None,
    ) -> Callable[[DataFrame, Published], None]:
        def checked(candidate: DataFrame, _: Published) -> None:
            from pipelines.quality import check  # not where everything is skipped: see _work

            check(candidate, _name(uri), suite, tuple(keys))
            if also is not None:
                also(candidate)

        return checked

    def _timed(self, uri: str, before: int, work: Callable[[], Published]) -> Published:
        """Show progress, and at the end what was made."""
        started = time.time()
        with watched(console, self.spark, _name(uri)):
            table = work()
        made = Made(table, table.rows - before, started, time.time())
        self.made.append(made)
        seconds = made.ended - made.started
        line = f"  {_name(uri):<24} version {table.version:<4} {made.rows:>13,} rows {seconds:8.1f} s"
        console.print(line, highlight=False)
        return table


def _name(uri: str) -> str:
    return uri.rsplit("/", 1)[-1]


def run_stages(target: Target, stages: Sequence[Stage]) -> list[Made]:
    """Run the stages in order; one whose tables are published with its fingerprint is skipped. Return what was made."""
    with locked(target.warehouse, target.space.name):
        return [made for stage in stages for made in _run_stage(target, stage)]


def _run_stage(target: Target, stage: Stage) -> list[Made]:
    wanted = target.fingerprints[stage.name]
    found = [published(uri) for uri in stage.tables(target)]
    if all(table is not None and table.fingerprint == wanted for table in found):
        console.print(f"{stage.name}: skipped, its tables are finished (same input, code and configuration)")
        return []
    return _work(target, stage, wanted, target.end, grow=False)


def grow_stages(target: Target, stages: Sequence[Stage], through: datetime) -> list[Made]:
    """Add to every stage's tables what became available before ``through``; return what was made, if anything was."""
    with locked(target.warehouse, target.space.name):
        made_of = fingerprint("nights", target.group_plan, through.isoformat())
        lacking = [stage for stage in stages if not _reaches(target, stage, through)]
        return [made for stage in lacking for made in _work(target, stage, made_of, through, grow=True)]


def _grows(table: Published, target: Target) -> datetime:
    """Up to when a table holds everything.

    Raises:
        LatticeError: nothing can be added to it, because its rows were made in another way.
    """
    if table.through is None or table.plan != target.plan_of(table.uri):
        chosen = target.selection
        effective = f"selection {chosen.version}" if chosen else "no selection: every feature is used"
        raise LatticeError(
            table.uri,
            "The table was built from another space file or sample, or with another selection of features "
            f"(effective now: {effective}), so no night can be added to it.",
            "Build it anew with `lattice build`, or give the space and sample that it was built with.",
        )
    return table.through


def _reaches(target: Target, stage: Stage, through: datetime) -> bool:
    found = [published(uri) for uri in stage.tables(target) if uri not in target.attribute_tables.values()]
    return all(table is not None and _grows(table, target) >= through for table in found)


def _work(target: Target, stage: Stage, made_of: str, through: datetime, grow: bool) -> list[Made]:
    console.print(f"{stage.name}: {stage.title}")
    # Great Expectations takes ten seconds to import, and the first table is written before it is needed.
    threading.Thread(target=import_module, args=("pipelines.quality",), daemon=True).start()
    with explained():
        with console.status(f"{stage.name}: starting Spark"):
            spark = spark_session(stage.name)
        context = Context(target, spark, made_of, through, grow)
        stage.work(context)
    return context.made


def stage_command(stage: Stage) -> Callable[..., None]:
    """The command that runs one stage (those before it must have run)."""

    def command(
        space: options.Space = options.DEFAULT_SPACE,
        warehouse: options.Warehouse = options.DEFAULT_WAREHOUSE,
        group: options.Group = options.DEFAULT_GROUP,
        sample: options.Sample = None,
    ) -> None:
        run_stages(Target.parse(space, warehouse, group, sample), [stage])

    tables = f"Part of `lattice build`, which runs every stage in order: {stage.title}."
    example = f"lattice {stage.name} --space my_space.yaml --warehouse /data/warehouse"
    command.__doc__ = f"{tables}\n\nExamples:\n\n  lattice {stage.name} --sample demo\n\n  {example}"
    return command
