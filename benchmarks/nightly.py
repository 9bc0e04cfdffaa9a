"""What a night costs, and that nights give what one whole build gives.

``python -m benchmarks.nightly --nights 30`` builds everything in one go and keeps only a digest of its tables; then it
builds all but the last days into an empty warehouse, adds them night by night, and compares every table. CPU and bytes
are Spark's own counters, so that other work on the machine changes the seconds only. With ``--keep FOLDER`` a run that
was cut goes on, when it is started again, after the last night that it had finished.
"""

import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import date, timedelta
from pathlib import Path
from statistics import mean, median
from tempfile import mkdtemp
from typing import Annotated

import typer
from rich.console import Console

from benchmarks.build import earlier
from benchmarks.content import Content, contents
from benchmarks.counts import COMPARED
from benchmarks.quality_result import Machine
from benchmarks.results import Out, Result, Scratch, save
from benchmarks.spark_usage import Usage, UsageMeter
from jobs.build import STAGES
from jobs.nightly import night_of
from jobs.runs import Made
from jobs.stages import grow_stages, run_stages
from jobs.target import Target
from pipelines.session import spark_session
from schemas.errors import LatticeError

_MIB = 2**20
console = Console(stderr=True)


class Run(Result):
    """What one build or night added and took; ``rows`` are impressions, ``all_rows`` those of every table."""

    through: date
    rows: int
    all_rows: int
    seconds: float
    usage: Usage
    resumed: bool = False
    """A part of it may have been done in a run that was cut: what it took says nothing."""


class Whole(Result):
    """One build of all days, and what its tables hold."""

    run: Run
    contents: dict[str, Content]


class Nights(Result):
    """Everything that was measured."""

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
        return sum(each.rows for each in made if each.name == table)

    return Run(
        through=day,
        rows=rows("unified"),
        all_rows=sum(each.rows for each in made),
        seconds=ended - started,
        usage=meter.between(started, ended),
    )


def nights(meter: UsageMeter, target: Target, last: date, count: int, done: Sequence[Run] = ()) -> Iterator[Run]:
    """Build everything before the last ``count`` days, then add them one by one; what is ``done`` is left out.

    Raises:
        LatticeError: what is done was done for other days.
    """
    days = [last - timedelta(days=back) for back in range(count, -1, -1)]
    if [run.through for run in done] != days[: len(done)]:
        raise LatticeError(
            "--keep",
            f"The folder holds the nights from {done[0].through} to {done[-1].through}, which are not the first asked "
            f"for: {days[0]} to {days[-1]}.",
            "Give the same --nights and --last as before, or another folder.",
        )
    for place, day in enumerate(days[len(done) :]):
        night = night_of(target, day)
        run = _run(meter, day, lambda night=night: grow_stages(target, STAGES, night))  # type: ignore[misc]
        yield run.model_copy(update={"resumed": bool(done) and place == 0})


def kept(log: Path) -> list[Run]:
    """The runs that were noted in a file, a line each; a line that was cut short is none."""
    if not log.exists():
        return []
    whole, _, _ = log.read_text(encoding="utf-8").rpartition("\n")
    return [Run.model_validate_json(line) for line in whole.splitlines()]


def whole_build(meter: UsageMeter, target: Target, last: date) -> Run:
    """Build everything up to a day in one go: `lattice build`, unless more was observed."""
    night = night_of(target, last)
    if night == target.end:
        return _run(meter, last, lambda: run_stages(target, STAGES))
    return _run(meter, last, lambda: grow_stages(target, STAGES, night))


def measured(whole: Path, space: str, sample: str | None, last: date) -> tuple[Run, dict[str, Content]]:
    """What benchmarks.build found of one build of a sample: what it took, and what its tables hold.

    Raises:
        LatticeError: it did not build that sample of the space on this machine.
    """
    found, wanted = earlier(whole, space), sample or "impressions=1"
    shares = {f"impressions={share:g}": share for share in found.contents} if found else {}
    if found is None or wanted not in shares:
        remedy = "Build it with benchmarks.build first, or leave the option away."
        raise LatticeError(str(whole), f"It holds no build of {wanted} of {space} on this machine.", remedy)
    share = shares[wanted]
    stages = found.stages(share)
    run = Run(
        through=last,
        rows=found.contents[share]["unified"].rows,
        all_rows=sum(cost.rows for cost in stages),
        seconds=sum(cost.seconds for cost in stages),
        usage=sum((cost.usage for cost in stages), Usage()),
    )
    return run, found.contents[share]


def page(result: Nights) -> str:
    """The result as Markdown."""
    whole, added = result.whole, [run for run in result.nights if run.rows and not run.resumed]
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
    whole: Annotated[
        Path | None, typer.Option("--whole", help="A page of benchmarks.build with this build. Default: build it.")
    ] = None,
    scratch: Scratch = None,
    keep: Annotated[
        Path | None, typer.Option("--keep", help="Keep the warehouse here, and go on from there when started again.")
    ] = None,
    out: Out = Path("docs/results/nightly.md"),
) -> None:
    """Build whole, then by nights, and compare."""
    folder = keep or Path(mkdtemp(prefix="lattice-nights-", dir=scratch))
    folder.mkdir(parents=True, exist_ok=True)
    options = "".join(
        f" --{name} {value}" for name, value in (("last", last), ("sample", sample), ("whole", whole)) if value
    )
    command = f"python -m benchmarks.nightly --nights {count}{options}"
    spark = spark_session("benchmark")
    log, baseline = folder / "nights.jsonl", folder / "whole.json"
    try:
        at_once, parts = (Target.parse(space, str(folder / name), "all", sample) for name in ("whole", "nights"))
        until = date.fromisoformat(last) if last else (parts.end - timedelta(microseconds=1)).date()
        runs = kept(log)
        log.write_text("".join(f"{run.model_dump_json()}\n" for run in runs), encoding="utf-8")
        with UsageMeter(spark) as meter:
            if whole is not None:
                built, wanted = measured(whole, space, sample, until)
            elif baseline.exists():
                at_first = Whole.model_validate_json(baseline.read_text(encoding="utf-8"))
                built, wanted = at_first.run, at_first.contents
            else:
                built = whole_build(meter, at_once, until)
                wanted = contents(spark, at_once)
                # Two warehouses of the full data need not find room.
                shutil.rmtree(folder / "whole")
                baseline.write_text(Whole(run=built, contents=wanted).model_dump_json(), encoding="utf-8")
            for run in nights(meter, parts, until, count, runs):
                runs.append(run)
                with log.open("a", encoding="utf-8") as lines:
                    lines.write(run.model_dump_json() + "\n")
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
        if keep is None:
            shutil.rmtree(folder, ignore_errors=True)
    sys.exit(0 if result.equal else 1)


if __name__ == "__main__":
    typer.run(main)
