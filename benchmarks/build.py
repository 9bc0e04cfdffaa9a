"""What a build costs, stage by stage, at several shares of the data, beside the floor of reading and rewriting it.

``python -m benchmarks.build --share 0.05 --share 0.25 --share 1`` builds each share into a scratch warehouse with small
memory, and prints for every stage its rows, seconds, peak memory and bytes; then Spark reads the tables that were
written and writes them again, which any build must at least do. The slope is that of log seconds over log rows: 1 is
linear. Last come the impressions and labels of the full data beside DuckDB's (benchmarks.counts).
"""

import math
import shutil
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from tempfile import mkdtemp
from typing import Annotated

import typer
from pydantic import Field
from rich.console import Console

from benchmarks.content import Content, contents
from benchmarks.counts import COMPARED, compare
from benchmarks.quality_result import Machine
from benchmarks.results import Out, Result, Scratch, save
from benchmarks.spark_usage import Usage, UsageMeter
from jobs.build import STAGES
from jobs.memory import PeakMemory
from jobs.stages import run_stages
from jobs.target import Target
from pipelines.session import spark_session
from pipelines.tables import read, require, write
from schemas.space_file import load_space

_GIB = 2**30
_FLOOR = "floor: read and rewrite"
console = Console(stderr=True)


class Cost(Result):
    """What one step took, or the part of it that made one table."""

    share: float
    step: str
    table: str | None
    rows: int
    seconds: float
    peak_gib: float
    usage: Usage


class Anchor(Result):
    """Impressions and labels of the full data, by the pipeline and by DuckDB (benchmarks.counts)."""

    seconds: float
    duckdb_seconds: float
    equal: bool


class Costs(Result):
    """Everything that a run measured."""

    space: str
    machine: Machine
    costs: tuple[Cost, ...]
    contents: dict[float, dict[str, Content]] = Field(default_factory=dict)
    """Of each share, what its tables hold, by table."""
    labels: Anchor | None = None

    def stages(self, share: float) -> list[Cost]:
        """What the stages of one share's build took, without the floor."""
        return [cost for cost in self.costs if (cost.share, cost.table) == (share, None) and cost.step != _FLOOR]


def measure(target: Target, share: float) -> Iterator[Cost]:
    """Build into the target's warehouse, step by step, then read and rewrite what was written."""
    spark = spark_session("benchmark")
    with PeakMemory() as memory, UsageMeter(spark) as meter:

        def cost(step: str, table: str | None, rows: int, started: float, ended: float) -> Cost:
            peak = memory.between(started, ended) / _GIB
            usage = meter.between(started, ended)
            return Cost(
                share=share, step=step, table=table, rows=rows, seconds=ended - started, peak_gib=peak, usage=usage
            )

        for stage in STAGES:
            started = time.time()
            made = run_stages(target, [stage])
            yield cost(stage.name, None, sum(each.rows for each in made), started, time.time())
            for each in made:
                yield cost(stage.name, each.table.uri.rsplit("/", 1)[-1], each.rows, each.started, each.ended)
        started, rows = time.time(), 0
        scratch = target.group_table("scratch")
        for uri in (uri for stage in STAGES for uri in stage.tables(target)):
            table = require(uri, "it")
            write(read(spark, table), scratch, append=False, note="rewritten")
            shutil.rmtree(scratch)
            rows += table.rows
        yield cost(_FLOOR, None, rows, started, time.time())


def page(result: Costs) -> str:
    """The result as Markdown."""
    shares = sorted({cost.share for cost in result.costs})
    by = {(cost.share, cost.step): cost for cost in result.costs if cost.table is None}
    command = "python -m benchmarks.build " + " ".join(f"--share {share:g}" for share in shares)
    lines = ["# What a build costs", "", f"Space `{result.space}`. By `{command}`, in one run or several.", ""]
    header = "| share | step | table | rows | seconds | CPU s | peak GiB | read | shuffled | spilled | written |"
    lines += [header, "| ---: | --- | --- |" + " ---: |" * 8]
    for cost in sorted(result.costs, key=lambda cost: cost.share):
        usage = cost.usage
        sizes = (f"{size / _GIB:.2f}" for size in (usage.read, usage.shuffled, usage.spilled, usage.written))
        name = ("", "", cost.table) if cost.table else (f"{cost.share:g}", f"**{cost.step}**", "")
        numbers = (f"{cost.rows:,}", f"{cost.seconds:.0f}", f"{usage.cpu:.0f}", f"{cost.peak_gib:.1f}")
        lines.append(f"| {' | '.join((*name, *numbers, *sizes))} |")
    lines += [
        "",
        "Sizes are GiB. CPU is that of Spark's tasks. The peak is that of all processes of the run, which keep what "
        "they once took.",
        "",
    ]
    for share in shares:
        whole, floor = sum(cost.seconds for cost in result.stages(share)), by[share, _FLOOR].seconds
        impressions = by[share, "unify"].rows
        lines.append(
            f"- share {share:g}: {impressions:,} impressions in {whole:.0f} s, {impressions / whole:,.0f} a second; "
            f"{whole / floor:.1f} times the floor."
        )
    for first, second in pairwise(shares):
        rows = by[second, "unify"].rows / by[first, "unify"].rows
        slower, faster = (sum(cost.seconds for cost in result.stages(share)) for share in (second, first))
        lines.append(f"- slope from {first:g} to {second:g}: {math.log(slower / faster) / math.log(rows):.2f}.")
    if result.labels is not None:
        anchor = result.labels
        lines.append(
            f"- impressions and labels of the full data, in all windows: {anchor.seconds:.0f} s, DuckDB "
            f"{anchor.duckdb_seconds:.0f} s, {anchor.seconds / anchor.duckdb_seconds:.1f} times; the counts are "
            f"{'equal' if anchor.equal else 'NOT equal'}."
        )
    return "\n".join([*lines, "", str(result.machine), ""])


def earlier(out: Path, space: str) -> Costs | None:
    """What an earlier run left there, if it was of this space and machine."""
    path = out.with_suffix(".json")
    if not path.is_file():
        return None
    found = Costs.model_validate_json(path.read_text(encoding="utf-8"))
    return found if (found.space, found.machine) == (space, Machine.here()) else None


def main(
    share: Annotated[list[float], typer.Option("--share", help="A share of the impressions; give several.")],
    space: Annotated[str, typer.Option("--space")] = COMPARED,
    scratch: Scratch = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the warehouses there.")] = False,
    out: Out = Path("docs/results/build.md"),
) -> None:
    """Build each share, print what every stage took. What the page holds of other shares stays there."""
    folder = Path(mkdtemp(prefix="lattice-build-", dir=scratch))
    before = earlier(out, space)
    costs = [cost for cost in before.costs if cost.share not in share] if before else []
    held = {part: tables for part, tables in before.contents.items() if part not in share} if before else {}
    try:
        for part in sorted(share):
            target = Target.parse(space, str(folder / f"{part:g}"), "all", f"impressions={part:g}")
            for cost in measure(target, part):
                costs.append(cost)
                name = f"{part:g} {cost.step} {cost.table or ''}"
                console.print(f"{name}: {cost.seconds:.0f} s, {cost.peak_gib:.1f} GiB", highlight=False)
            held[part] = contents(spark_session("benchmark"), target)
            if not keep:
                shutil.rmtree(folder / f"{part:g}")
            labels = before.labels if before else None
            result = Costs(space=space, machine=Machine.here(), costs=tuple(costs), contents=held, labels=labels)
            # After each share: the largest one may take long, and what was measured must not be lost with it.
            save(result, page(result), out)
        if space == COMPARED:
            found = compare(load_space(space), spark_session("benchmark"))
            anchor = Anchor(seconds=found.seconds, duckdb_seconds=found.their_seconds, equal=found.ours == found.theirs)
            result = result.model_copy(update={"labels": anchor})
            save(result, page(result), out)
        print(page(result))
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    typer.run(main)
