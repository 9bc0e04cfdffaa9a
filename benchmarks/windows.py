"""What the Zipper saves: one zipped data set over K windows, beside one data set a window (paper 3.2.1).

``python -m benchmarks.windows --sample impressions=0.02`` builds the space with all windows, and once more for each
window alone, and compares what is made after ``unified``, which is the same for all: rows, bytes, CPU and seconds.
All else does not depend on the windows: it is made once, and copied.
"""

import shutil
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from tempfile import mkdtemp

import typer
from pyspark.sql import SparkSession
from pyspark.sql import functions as F
from rich.console import Console

from benchmarks.counts import COMPARED
from benchmarks.quality_result import Machine
from benchmarks.results import Out, Result, Scratch, save
from benchmarks.spark_usage import Usage, UsageMeter
from jobs import options
from jobs.build import STAGES
from jobs.stages import Stage, run_stages
from jobs.target import Target
from pipelines.concatenation import KEYS
from pipelines.session import spark_session
from pipelines.tables import byte_size, leading, publish, read, require
from pipelines.zipper import group_window
from schemas.duration import format_duration
from schemas.space import ModelSpace

_SHARED, _OWN = ("ingest", "unify"), ("zip", "hold-out", "prepare")
_TABLES = ("outcomes", "zipped", "evaluation", "training")
console = Console(stderr=True)


class DataSet(Result):
    """What one data set took beyond ``unified``; ``rows`` and ``sizes`` (bytes) by table."""

    windows: tuple[str, ...]
    rows: dict[str, int]
    sizes: dict[str, int]
    seconds: float
    usage: Usage


class DataSets(Result):
    """The zipped one first, then one a window."""

    space: str
    sample: str | None
    command: str
    machine: Machine
    zipped: DataSet
    single: tuple[DataSet, ...]


def only(space: ModelSpace, group: str, windows: tuple[timedelta, ...]) -> ModelSpace:
    """The space with no other windows; objectives without any of them keep none of theirs and are left out."""
    objectives = {
        name: objective.model_copy(update={"windows": tuple(w for w in objective.windows if w in windows)})
        for name, objective in space.objectives.items()
    }
    kept = {
        name: objective
        for name, objective in objectives.items()
        if objective.windows or not space.objectives[name].windows
    }
    groups = {group: space.groups[group].model_copy(update={"windows": windows, "weights": ()})}
    changed = space.model_copy(update={"objectives": kept, "groups": groups})
    # Checked like a file that declares just that.
    return ModelSpace.model_validate(changed.model_dump(by_alias=True, exclude_none=True))


def measure(target: Target, meter: UsageMeter) -> DataSet:
    """Build a data set from its ``unified`` on, and count what that takes."""
    started = time.time()
    run_stages(target, _stages(_OWN))
    ended = time.time()
    tables = {name: require(target.group_table(name), "lattice build") for name in _TABLES}
    return DataSet(
        windows=tuple(format_duration(window) for window in target.space.groups[target.group].windows),
        rows={name: table.rows for name, table in tables.items()},
        sizes={name: byte_size(table) for name, table in tables.items()},
        seconds=ended - started,
        usage=meter.between(started, ended),
    )


def _stages(names: tuple[str, ...]) -> list[Stage]:
    return [stage for stage in STAGES if stage.name in names]


def _assign_anew(target: Target, spark: SparkSession) -> None:
    """Give the impressions of a copied ``unified`` the windows of this target."""
    uri = target.group_table("unified")
    before = require(uri, "lattice build")
    windowed = group_window(read(spark, before).drop("window"), target.space, target.group)
    publish(
        leading(windowed, *KEYS, "window").sortWithinPartitions(F.to_date("impression_time"), "window"),
        uri,
        fingerprint=target.fingerprints["unify"],
        check=lambda *_: None,
        through=before.through,
        plan=target.table_plan(uri),
    )


def page(result: DataSets) -> str:
    """The result as Markdown."""
    longest = result.single[-1]
    sample = f", sample `{result.sample}`" if result.sample else ""
    lines = [
        "# One zipped data set, and one a window",
        "",
        f"Space `{result.space}`{sample}. By `{result.command}`. What each data set takes beyond `unified`, which all "
        "share; the stages zip, hold-out and prepare.",
        "",
        "| | zipped rows | training rows | zipped and training, MiB | CPU s | seconds |",
        "| --- |" + " ---: |" * 5,
    ]

    def numbers(sets: tuple[DataSet, ...]) -> tuple[float, ...]:
        return (
            sum(part.rows["zipped"] for part in sets),
            sum(part.rows["training"] for part in sets),
            sum(part.sizes["zipped"] + part.sizes["training"] for part in sets) / 2**20,
            sum(part.usage.cpu for part in sets),
            sum(part.seconds for part in sets),
        )

    def row(name: str, values: tuple[float, ...]) -> str:
        return f"| {name} | {' | '.join(f'{value:,.0f}' for value in values)} |"

    lines.append(row(f"zipped, {', '.join(result.zipped.windows)}", numbers((result.zipped,))))
    lines += [row(f"{part.windows[0]} only", numbers((part,))) for part in result.single]
    lines.append(row(f"all {len(result.single)} of them", numbers(result.single)))

    def ratios(name: str, over: tuple[float, ...]) -> str:
        values = (one / other for one, other in zip(numbers((result.zipped,)), over, strict=True))
        return f"| {name} | {' | '.join(f'{value:.2f}' for value in values)} |"

    lines.append(ratios(f"zipped over {longest.windows[0]} only", numbers((longest,))))
    lines.append(ratios(f"zipped over all {len(result.single)}", numbers(result.single)))
    lines += ["", "Before them the first one was made once more, uncounted, to warm the machine up.", ""]
    return "\n".join([*lines, str(result.machine), ""])


def main(
    space: options.Space = COMPARED,
    group: options.Group = options.DEFAULT_GROUP,
    sample: options.Sample = "impressions=0.02",
    scratch: Scratch = None,
    out: Out = Path("docs/results/windows.md"),
) -> None:
    """Build with all windows, and with each alone."""
    folder = Path(mkdtemp(prefix="lattice-windows-", dir=scratch))
    whole = Target.parse(space, str(folder / "shared"), group, sample)
    windows = whole.space.groups[group].windows
    spark = spark_session("benchmark")
    found = []
    try:
        with UsageMeter(spark) as meter:
            run_stages(whole, _stages(_SHARED))
            # The first one only warms the machine up.
            for number, chosen in enumerate((windows, windows, *((window,) for window in windows))):
                place = folder / str(number)
                shutil.copytree(folder / "shared", place)
                target = replace(whole, space=only(whole.space, group, chosen), warehouse=str(place))
                _assign_anew(target, spark)
                found.append(measure(target, meter))
                name = ", ".join(found[-1].windows)
                console.print(f"{name}: {found[-1].seconds:.0f} s", highlight=False)
                shutil.rmtree(place)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    result = DataSets(
        space=space,
        sample=sample,
        command=f"python -m benchmarks.windows --sample {sample}",
        machine=Machine.here(),
        zipped=found[1],
        single=tuple(found[2:]),
    )
    save(result, page(result), out)
    print(page(result))


if __name__ == "__main__":
    typer.run(main)
