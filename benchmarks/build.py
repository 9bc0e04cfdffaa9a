"""What a build costs, stage by stage, at several shares of the data, beside the floor of reading and rewriting it.

``python -m benchmarks.build --share 0.05 --share 0.25 --share 1`` builds each share into a scratch warehouse with small
memory, and prints for every stage its rows, seconds, peak memory and bytes; then Spark reads the tables that were
written and writes them again, which any build must at least do. The slope is that of log seconds over log rows: 1 is
linear.
"""

import math
import shutil
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from tempfile import mkdtemp
from typing import Annotated

import typer
from pydantic import BaseModel, ConfigDict
from pyspark.sql import SparkSession
from rich.console import Console

from benchmarks.quality_result import Machine
from jobs.build import STAGES
from jobs.memory import PeakMemory
from jobs.stages import run_stages
from jobs.target import Target
from pipelines.session import spark_session
from pipelines.tables import published, read, require

_GIB = 2**30
_FLOOR = "floor: read and rewrite"
console = Console(stderr=True)


class Cost(BaseModel):
    """What one step took; bytes are sums over its Spark stages."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    share: float
    step: str
    rows: int
    seconds: float
    peak_gib: float
    read: int
    shuffled: int
    spilled: int
    written: int


class Costs(BaseModel):
    """Everything that a run measured."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    space: str
    command: str
    machine: Machine
    costs: tuple[Cost, ...]


class _Meter:
    """Spark's counters since the last look."""

    def __init__(self, spark: SparkSession) -> None:
        self._gateway = spark.sparkContext._gateway
        self._store = spark._jsc.sc().statusStore()
        self._seen = -1

    def since(self) -> tuple[int, int, int, int]:
        """Bytes read, shuffled (written to shuffle files), spilled to disk, and written by the stages since then."""
        none = self._gateway.new_array(self._gateway.jvm.double, 0)
        stages = self._store.stageList(None, False, False, none, None)
        new = [stages.apply(n) for n in range(stages.size()) if stages.apply(n).stageId() > self._seen]
        self._seen = max((stage.stageId() for stage in new), default=self._seen)
        found = (
            (stage.inputBytes(), stage.shuffleWriteBytes(), stage.diskBytesSpilled(), stage.outputBytes())
            for stage in new
        )
        read_, shuffled, spilled, written = (sum(column) for column in zip((0, 0, 0, 0), *found, strict=True))
        return read_, shuffled, spilled, written


def _measured(meter: _Meter, share: float, step: str, work: Callable[[], int]) -> Cost:
    meter.since()
    started = time.monotonic()
    with PeakMemory() as memory:
        rows = work()
    seconds = time.monotonic() - started
    bytes_ = dict(zip(("read", "shuffled", "spilled", "written"), meter.since(), strict=True))
    return Cost(share=share, step=step, rows=rows, seconds=seconds, peak_gib=memory.peak / _GIB, **bytes_)


def measure(target: Target, share: float) -> Iterator[Cost]:
    """Build into the target's warehouse, step by step, then read and rewrite what was written."""
    spark = spark_session("benchmark")
    meter = _Meter(spark)
    for stage in STAGES:

        def build(stage_=stage) -> int:  # type: ignore[no-untyped-def]
            run_stages(target, [stage_])
            return sum(require(uri, "it").rows for uri in stage_.tables(target))

        yield _measured(meter, share, stage.name, build)

    def rewrite() -> int:
        rows = 0
        scratch = target.group_table("scratch")
        for uri in (uri for stage in STAGES for uri in stage.tables(target)):
            table = published(uri)
            assert table is not None, uri
            read(spark, table).write.format("delta").mode("overwrite").option("overwriteSchema", "true").option(
                "compression", "zstd"
            ).save(scratch)
            shutil.rmtree(scratch)
            rows += table.rows
        return rows

    yield _measured(meter, share, _FLOOR, rewrite)


def page(result: Costs) -> str:
    """The result as Markdown."""
    shares = sorted({cost.share for cost in result.costs})
    by = {(cost.share, cost.step): cost for cost in result.costs}
    steps = [stage.name for stage in STAGES]
    lines = ["# What a build costs", "", f"Space `{result.space}`. By `{result.command}`.", ""]
    header = "| share | step | rows | seconds | peak GiB | read | shuffled | spilled | written |"
    lines += [header, "| ---: | --- |" + " ---: |" * 7]
    for share in shares:
        for cost in (cost for cost in result.costs if cost.share == share):
            sizes = (f"{size / _GIB:.2f}" for size in (cost.read, cost.shuffled, cost.spilled, cost.written))
            cells = (f"{share:g}", cost.step, f"{cost.rows:,}", f"{cost.seconds:.0f}", f"{cost.peak_gib:.1f}", *sizes)
            lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "Sizes are GiB. The peak is that of all processes of the run, which keep what they once took.", ""]
    for share in shares:
        whole, floor = sum(by[share, step].seconds for step in steps), by[share, _FLOOR].seconds
        impressions = by[share, "unify"].rows
        lines.append(
            f"- share {share:g}: {impressions:,} impressions in {whole:.0f} s, {impressions / whole:,.0f} a second; "
            f"{whole / floor:.1f} times the floor."
        )
    for first, second in pairwise(shares):
        rows = by[second, "unify"].rows / by[first, "unify"].rows
        seconds = sum(by[second, s].seconds for s in steps) / sum(by[first, s].seconds for s in steps)
        lines.append(f"- slope from {first:g} to {second:g}: {math.log(seconds) / math.log(rows):.2f}.")
    machine = result.machine
    libraries = ", ".join(f"{name} {version}" for name, version in machine.libraries.items())
    place = (
        f"{machine.processor}, {machine.cores} cores, {machine.memory_gib} GiB; Python {machine.python}, {libraries}."
    )
    return "\n".join([*lines, "", place, ""])


def main(
    share: Annotated[list[float], typer.Option("--share", help="A share of the impressions; give several.")],
    space: Annotated[str, typer.Option("--space")] = "complete_journey",
    scratch: Annotated[
        Path | None, typer.Option("--scratch", help="Where to build. Default: a temporary folder.")
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="The page; a JSON file lies beside it.")] = Path(
        "docs/results/build.md"
    ),
) -> None:
    """Build each share, print what every stage took."""
    folder = Path(mkdtemp(prefix="lattice-build-", dir=scratch))
    command = "python -m benchmarks.build " + " ".join(f"--share {part:g}" for part in share)
    costs: list[Cost] = []
    try:
        for part in sorted(share):
            target = Target.parse(space, str(folder / f"{part:g}"), "all", f"impressions={part:g}")
            for cost in measure(target, part):
                costs.append(cost)
                console.print(f"{part:g} {cost.step}: {cost.seconds:.0f} s, {cost.peak_gib:.1f} GiB", highlight=False)
            shutil.rmtree(folder / f"{part:g}")
            result = Costs(space=space, command=command, machine=Machine.here(), costs=tuple(costs))
            # After each share: the largest one may take long, and what was measured must not be lost with it.
            out.write_text(page(result), encoding="utf-8")
            out.with_suffix(".json").write_text(result.model_dump_json(indent=1) + "\n", encoding="utf-8")
        print(page(result))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    typer.run(main)
