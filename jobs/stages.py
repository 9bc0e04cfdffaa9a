"""Runs stages of the build: skips the finished ones, shows progress, checks and publishes what each one makes."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from pyspark.sql import DataFrame, SparkSession
from rich.console import Console

from jobs import options
from jobs.progress import watched
from jobs.spark_errors import explained
from jobs.target import Target
from pipelines.session import spark_session
from pipelines.tables import Published, publish, published, read, require
from pipelines.warehouse import locked
from schemas.expectations import Expectation

console = Console(stderr=True)


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One job of the build; ``work`` publishes exactly the ``tables`` (URIs) through the context."""

    name: str
    title: str
    tables: Callable[[Target], list[str]]
    work: Callable[["Context"], None]


@dataclass
class Context:
    """What a stage works with."""

    target: Target
    spark: SparkSession
    fingerprint: str
    made: list[Published] = field(default_factory=list)

    def read(self, uri: str) -> DataFrame:
        return read(self.spark, require(uri, "lattice build"))

    def publish(
        self,
        frame: DataFrame,
        uri: str,
        suite: list[Expectation],
        keys: Sequence[str],
        options: dict[str, str] | None = None,
        also: Callable[[DataFrame, Published], None] | None = None,
    ) -> Published:
        """Write, hold against the suite (and ``also``), publish; see pipelines.tables.publish."""
        from pipelines.quality import check  # a slow import, not needed where everything is skipped

        name = uri.rsplit("/", 1)[-1]

        def checked(candidate: DataFrame, version: Published) -> None:
            check(candidate, name, suite, tuple(keys))
            if also is not None:
                also(candidate, version)

        started = time.monotonic()
        with watched(console, self.spark, name):
            made = publish(frame, uri, fingerprint=self.fingerprint, check=checked, options=options)
        self.made.append(made)
        seconds = time.monotonic() - started
        console.print(f"  {name:<24} version {made.version:<4} {made.rows:>13,} rows {seconds:8.1f} s", highlight=False)
        return made


def run_stages(target: Target, stages: Sequence[Stage]) -> None:
    """Run the stages in order; one whose tables are published with its fingerprint is skipped."""
    with locked(target.warehouse, target.space.name):
        for stage in stages:
            run_stage(target, stage)


def run_stage(target: Target, stage: Stage) -> None:
    wanted = target.fingerprints[stage.name]
    found = [published(uri) for uri in stage.tables(target)]
    if all(table is not None and table.fingerprint == wanted for table in found):
        console.print(f"{stage.name}: skipped, its tables are finished (same input, code and configuration)")
        return
    console.print(f"{stage.name}: {stage.title}")
    with explained():
        with console.status(f"{stage.name}: starting Spark"):
            spark = spark_session(stage.name)
        stage.work(Context(target, spark, wanted))


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
