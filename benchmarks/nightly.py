"""What a night costs, and that nights give what one whole build gives.

``python -m benchmarks.nightly --nights 30`` builds everything in one go and keeps only a digest of its tables; then it
builds all but the last days into an empty warehouse, adds them night by night, and compares every table. CPU and bytes
are Spark's own counters, so that other work on the machine changes the seconds only.
"""

import shutil
import sys
import time
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path
from statistics import mean, median
from tempfile import mkdtemp
from typing import Annotated

import typer
from pydantic import BaseModel, ConfigDict
from pyspark.sql import SparkSession
from rich.console import Console

from benchmarks.content import Content, contents
from benchmarks.counts import COMPARED
from benchmarks.quality_result import Machine
from benchmarks.results import Out, Scratch, save
from benchmarks.spark_usage import Usage, UsageMeter
from jobs.build import STAGES
from jobs.nightly import night_of
from jobs.stages import Made, grow_stages, run_stages
from jobs.target import Target
from pipelines.session import spark_session

_MIB = 2**20
console = Console(stderr=True)


class Run(BaseModel):
    """What one build or night added and took; ``rows`` are impressions, ``all_rows`` those of every table."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    through: date
    rows: int
    all_rows: int
    seconds: float
    usage: Usage


class Nights(BaseModel):
    """Everything that was measured."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    space: str
    sample: str | None
    command: str
    machine: Machine
    whole: Run
    """One build up to the last night."""
    first: Run
    """The build before the first night."""
    nights: tuple[Run, ...]
    wanted: dict[str, Content]
    found: dict[str, Content]

    @property
    def equal(self) -> bool:
        return self.wanted == self.found


def _run(meter: UsageMeter, day: date, work: Callable[[], list[Made]]) -> Run:
    started = time.time()
    made = work()
    ended = time.time()

    def rows(table: str) -> int:
        return sum(each.rows for each in made if _name(each) == table)

    return Run(
        through=day,
        rows=rows("unified"),
        all_rows=sum(each.rows for each in made),
        seconds=ended - started,
        usage=meter.between(started, ended),
    )


def _name(made: Made) -> str:
    return made.table.uri.rsplit("/", 1)[-1]


def nights(spark: SparkSession, target: Target, last: date, count: int) -> Iterator[Run]:
    """Build everything before the last ``count`` days, then add them one by one."""
    meter = UsageMeter(spark)
    for day in (last - timedelta(days=back) for back in range(count, -1, -1)):
        night = night_of(target, day)
        yield _run(meter, day, lambda night=night: grow_stages(target, STAGES, night))  # type: ignore[misc]


def whole_build(spark: SparkSession, target: Target, last: date) -> Run:
    """Build everything up to a day in one go: `lattice build`, unless more was observed."""
    night = night_of(target, last)
    if night == target.end:
        return _run(UsageMeter(spark), last, lambda: run_stages(target, STAGES))
    return _run(UsageMeter(spark), last, lambda: grow_stages(target, STAGES, night))


def page(result: Nights) -> str:
    """The result as Markdown."""
    whole, added = result.whole, [run for run in result.nights if run.rows]
    sample = f", sample `{result.sample}`" if result.sample else ""
    lines = [
        "# What a night costs",
        "",
        f"Space `{result.space}`{sample}. By `{result.command}`.",
        "",
        f"{len(result.nights)} nights, {result.nights[0].through} to {result.nights[-1].through}, were added to a "
        f"build of all days before. Compared with one build of all days, "
        f"{'every row of every table is the same' if result.equal else 'TABLES DIFFER'}:",
        "",
        "| table | rows | digest | |",
        "| --- | ---: | ---: | --- |",
    ]
    for name, wanted in result.wanted.items():
        same = "" if result.found.get(name) == wanted else f"differs: {result.found.get(name)}"
        lines.append(f"| {name} | {wanted.rows:,} | {wanted.digest} | {same} |")
    share = mean(run.rows for run in added) / whole.rows
    measures = {
        "CPU of tasks, s": ([run.usage.cpu for run in added], whole.usage.cpu),
        "read, MiB": ([run.usage.read / _MIB for run in added], whole.usage.read / _MIB),
        "shuffled, MiB": ([run.usage.shuffled / _MIB for run in added], whole.usage.shuffled / _MIB),
        "written, MiB": ([run.usage.written / _MIB for run in added], whole.usage.written / _MIB),
        "seconds": ([run.seconds for run in added], whole.seconds),
    }
    lines += [
        "",
        f"A night with impressions adds {share:.3%} of all {whole.rows:,} impressions on average. Of the whole build's "
        "cost that share, doubled, is the bound for one night; what exceeds it is the constant.",
        "",
        "| | one whole build | a night: median | most | share of the build, doubled | constant |",
        "| --- |" + " ---: |" * 5,
    ]
    for name, (values, of_whole) in measures.items():
        bound = 2 * share * of_whole
        constant = max(0.0, median(values) - bound)
        cells = (f"{value:,.1f}" for value in (of_whole, median(values), max(values), bound, constant))
        lines.append(f"| {name} | {' | '.join(cells)} |")
    half = len(added) // 2
    if half:
        early, late = (median(run.usage.cpu for run in part) for part in (added[:half], added[half:]))
        lines += ["", f"CPU of the later half of the nights over that of the earlier: {late / early:.2f}."]
    return "\n".join([*lines, "", str(result.machine), ""])


def main(
    count: Annotated[int, typer.Option("--nights", min=1, help="How many.")] = 30,
    last: Annotated[
        str | None, typer.Option("--last", help="The last of them. Default: the last that was observed.")
    ] = None,
    space: Annotated[str, typer.Option("--space")] = COMPARED,
    sample: Annotated[str | None, typer.Option("--sample", help="As of `lattice build`. Default: everything.")] = None,
    scratch: Scratch = None,
    out: Out = Path("docs/results/nightly.md"),
) -> None:
    """Build whole, then by nights, and compare."""
    folder = Path(mkdtemp(prefix="lattice-nights-", dir=scratch))
    options = "".join(f" --{name} {value}" for name, value in (("last", last), ("sample", sample)) if value)
    command = f"python -m benchmarks.nightly --nights {count}{options}"
    spark = spark_session("benchmark")
    try:
        whole, parts = (Target.parse(space, str(folder / name), "all", sample) for name in ("whole", "nights"))
        until = date.fromisoformat(last) if last else (whole.end - timedelta(microseconds=1)).date()
        built = whole_build(spark, whole, until)
        wanted = contents(spark, whole)
        # Two warehouses of the full data need not find room.
        shutil.rmtree(folder / "whole")
        runs = []
        for run in nights(spark, parts, until, count):
            runs.append(run)
            line = f"{run.through}: {run.rows:,} impressions, {run.seconds:.0f} s, {run.usage.cpu:.0f} s of CPU"
            console.print(line, highlight=False)
        result = Nights(
            space=space,
            sample=sample,
            command=command,
            machine=Machine.here(),
            whole=built,
            first=runs[0],
            nights=tuple(runs[1:]),
            wanted=wanted,
            found=contents(spark, parts),
        )
        save(result, page(result), out)
        print(page(result))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    sys.exit(0 if result.equal else 1)


if __name__ == "__main__":
    typer.run(main)
