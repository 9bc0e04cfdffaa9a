"""Runs stages of the build, one after the other; skips the finished ones."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib import import_module

from jobs import options
from jobs.context import Context, grows
from jobs.logs import console, say
from jobs.plans import keep_plan
from jobs.runs import Made, Run, running
from jobs.spark_errors import explained
from jobs.target import Target, fingerprint
from pipelines.session import plan_for, spark_session
from pipelines.tables import published


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One job of the build; ``work`` publishes exactly the ``tables`` (URIs) through the context."""

    name: str
    title: str
    tables: Callable[[Target], list[str]]
    work: Callable[[Context], None]


def run_stages(target: Target, stages: Sequence[Stage], command: str = "build") -> list[Made]:
    """Run the stages in order; one whose tables are published with its fingerprint is skipped. Return what was made."""
    with running(target, command) as run:
        keep_plan(target)
        for stage in stages:
            _run_stage(target, stage, run)
    return run.made


def _run_stage(target: Target, stage: Stage, run: Run) -> None:
    wanted = target.fingerprints[stage.name]
    found = [published(uri) for uri in stage.tables(target)]
    if all(table is not None and table.fingerprint == wanted for table in found):
        say(f"{stage.name}: skipped, its tables are finished (same input, code and configuration)", stage=stage.name)
        return
    _work(stage, run, wanted, target.end, grow=False)


def grow_stages(target: Target, stages: Sequence[Stage], through: datetime) -> list[Made]:
    """Add to every stage's tables what became available before ``through``; return what was made, if anything was."""
    with running(target, "nightly") as run:
        made_of = fingerprint("nights", target.group_plan, through.isoformat())
        lacking = [stage for stage in stages if not _reaches(target, stage, through)]
        keep_plan(target)
        for stage in lacking:
            _work(stage, run, made_of, through, grow=True)
    return run.made


def _reaches(target: Target, stage: Stage, through: datetime) -> bool:
    found = [published(uri) for uri in stage.tables(target) if uri not in target.attribute_tables.values()]
    # Each is looked at, so that a change of the space file that none may take is refused before anything is written.
    reached = [grows(table, target) >= through for table in found if table is not None]
    return all(reached) and None not in found


def _work(stage: Stage, run: Run, made_of: str, through: datetime, grow: bool) -> None:
    say(f"{stage.name}: {stage.title}", stage=stage.name)
    # Great Expectations takes ten seconds to import, and the first table is written before it is needed.
    threading.Thread(target=import_module, args=("pipelines.quality",), daemon=True).start()
    with explained():
        with console.status(f"{stage.name}: starting Spark"):
            spark = spark_session(stage.name)
        plan_for(spark, sum(len(domain.columns) for domain in run.target.space.domains.values()))
        stage.work(Context(run.target, run, stage.name, spark, made_of, through, grow))


def stage_command(stage: Stage) -> Callable[..., None]:
    """The command that runs one stage (those before it must have run)."""

    def command(
        space: options.Space = options.DEFAULT_SPACE,
        warehouse: options.Warehouse = options.DEFAULT_WAREHOUSE,
        group: options.Group = options.DEFAULT_GROUP,
        sample: options.Sample = None,
    ) -> None:
        run_stages(Target.parse(space, warehouse, group, sample), [stage], stage.name)

    tables = f"Part of `lattice build`, which runs every stage in order: {stage.title}."
    example = f"lattice {stage.name} --space my_space.yaml --warehouse /data/warehouse"
    command.__doc__ = f"{tables}\n\nExamples:\n\n  lattice {stage.name} --sample demo\n\n  {example}"
    return command
