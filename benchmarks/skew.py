"""What one user and one item that have a large part of all rows do to a build.

``python -m benchmarks.skew`` makes two spaces of as many rows, one in which users and items are drawn evenly and one in
which a single user has a share of all impressions, events and feedback and a single item another, and builds both.
"""

import shutil
import time
from pathlib import Path
from tempfile import mkdtemp
from typing import Annotated, Any

import numpy as np
import pandas as pd
import typer
import yaml
from rich.console import Console

from benchmarks.quality_result import Machine
from benchmarks.results import Out, Result, Scratch, save
from benchmarks.spark_usage import Usage, UsageMeter
from jobs.build import STAGES
from jobs.memory import PeakMemory
from jobs.stages import run_stages
from jobs.target import Target
from pipelines.session import spark_session

console = Console(stderr=True)
_START, _DAYS = pd.Timestamp("2024-03-01", tz="UTC"), 60
_USERS, _ITEMS = 20_000, 2_000


class Stage(Result):
    """What one stage took."""

    name: str
    rows: int
    seconds: float
    peak_gib: float
    usage: Usage


class Built(Result):
    """One space's build."""

    name: str
    stages: tuple[Stage, ...]


class Skew(Result):
    """Everything that was measured."""

    rows: int
    of_user: float
    of_item: float
    command: str
    machine: Machine
    even: Built
    skewed: Built


def write_space(folder: Path, rows: int, of_user: float, of_item: float) -> Path:
    """Write ``rows`` impressions, two thirds as many events and a tenth as many answers; return the space file's path.

    Args:
        folder: where.
        rows: how many impressions.
        of_user: the share of all rows that one user has.
        of_item: the share that one item has.
    """
    folder.mkdir(parents=True)
    random = np.random.default_rng(1)
    tables = {"shown": ("impression", rows), "bought": ("feedback", rows // 10), "viewed": ("event", rows * 2 // 3)}
    for name, (what, count) in tables.items():
        users, items = random.integers(0, _USERS, count), random.integers(0, _ITEMS, count)
        users[random.random(count) < of_user] = 0
        items[random.random(count) < of_item] = 0
        pd.DataFrame(
            {
                "user_id": users.astype(str),
                "item_id": items.astype(str),
                f"{what}_time": _START + pd.to_timedelta(random.integers(0, _DAYS * 86_400_000_000, count), unit="us"),
                "amount": random.exponential(size=count),
            }
        ).to_parquet(folder / f"{name}.parquet", index=False, coerce_timestamps="us")
    path = folder / "skew.yaml"
    path.write_text(yaml.safe_dump(_space(), sort_keys=False), encoding="utf-8")
    return path


def _space() -> dict[str, Any]:
    def table(name: str) -> dict[str, str]:
        return {"path": f"{name}.parquet", "format": "parquet"}

    keys = {"user": ["user_id"], "item": ["item_id"], "pair": ["user_id", "item_id"]}
    return {
        "name": "skew",
        "id_spaces": {"user": 32_768, "item": 4_096},
        "domains": {"shop": {"columns": {"amount": "double"}, "impressions": table("shown")}},
        "objectives": {
            "buy": {
                "domains": ["shop"],
                "windows": ["1d", "7d"],
                "observed": {
                    "from": _START.isoformat(), "to": (_START + pd.Timedelta(days=_DAYS)).isoformat()
                },
                "feedback": table("bought"),
            }
        },
        "events": {"views": {"columns": {"amount": "double"}, "table": table("viewed")}},
        "features": {
            "categorical": {
                "user": {"column": "user_id", "id_space": "user"},
                "item": {"column": "item_id", "id_space": "item"},
            },
            "dense": {"amount": {"column": "amount", "domains": ["shop"]}},
            "history": {
                name: {"events": "views", "keys": key, "horizons": ["1d", "7d", "all"], "sums": ["amount"]}
                for name, key in keys.items()
            },
            "sequence": {
                "views": {
                    "events": "views", "length": 20, "ids": {"item": {"column": "item_id", "id_space": "item"}},
                    "dense": ["amount"],
                }
            },
        },
        "groups": {"all": {"windows": ["1d", "7d"]}},
        "splits": {
            "validation": {"from": "2024-03-25", "to": "2024-04-01"},
            "test": {"from": "2024-04-10", "to": "2024-04-18"},
        },
    }  # fmt: skip


def measure(name: str, space: Path, warehouse: Path) -> Built:
    """Build it, stage by stage."""
    target, stages = Target.parse(str(space), str(warehouse), "all"), []
    with PeakMemory() as memory, UsageMeter(spark_session("benchmark")) as meter:
        for stage in STAGES:
            started = time.time()
            made = run_stages(target, [stage])
            ended = time.time()
            stages.append(
                Stage(
                    name=stage.name,
                    rows=sum(each.rows for each in made),
                    seconds=ended - started,
                    peak_gib=memory.between(started, ended) / 2**30,
                    usage=meter.between(started, ended),
                )
            )
            console.print(f"{name}, {stage.name}: {stages[-1].seconds:.0f} s", highlight=False)
    return Built(name=name, stages=tuple(stages))


def page(result: Skew) -> str:
    """The result as Markdown."""
    lines = [
        "# Users and items that have a large part of all rows",
        "",
        f"Two spaces of {result.rows:,} impressions each: in the one users and items are drawn evenly, in the other "
        f"one user has {result.of_user:.0%} and one item {result.of_item:.0%} of all impressions, events and feedback. "
        f"By `{result.command}`.",
        "",
        "| stage | rows | seconds, even | skewed | CPU s of tasks, even | skewed | peak GiB, even | skewed |",
        "| --- |" + " ---: |" * 7,
    ]
    for even, skewed in zip(result.even.stages, result.skewed.stages, strict=True):
        lines.append(
            f"| {even.name} | {skewed.rows:,} | {even.seconds:.0f} | {skewed.seconds:.0f} | {even.usage.cpu:.0f} | "
            f"{skewed.usage.cpu:.0f} | {even.peak_gib:.1f} | {skewed.peak_gib:.1f} |"
        )
    both = (result.even.stages, result.skewed.stages)
    seconds = [sum(stage.seconds for stage in stages) for stages in both]
    cpu = [sum(stage.usage.cpu for stage in stages) for stages in both]
    lines += [
        "",
        f"Skewed over even, all stages: seconds {seconds[1] / seconds[0]:.2f}, CPU {cpu[1] / cpu[0]:.2f}. A small "
        "build before them warmed Spark up.",
        "",
        str(result.machine),
        "",
    ]
    return "\n".join(lines)


def main(
    rows: Annotated[int, typer.Option("--rows", min=1_000, help="Impressions of each space.")] = 600_000,
    of_user: Annotated[float, typer.Option("--user", min=0, max=1, help="One user's share of the rows.")] = 0.3,
    of_item: Annotated[float, typer.Option("--item", min=0, max=1, help="One item's share of the rows.")] = 0.5,
    scratch: Scratch = None,
    out: Out = Path("docs/results/skew.md"),
) -> None:
    """Build an even and a skewed space."""
    folder, built = Path(mkdtemp(prefix="lattice-skew-", dir=scratch)), []
    try:
        for name, count, shares in (
            ("warm-up", 1_000, (0.0, 0.0)), ("even", rows, (0.0, 0.0)), ("skewed", rows, (of_user, of_item))
        ):  # fmt: skip
            space = write_space(folder / name, count, *shares)
            built.append(measure(name, space, folder / name / "warehouse"))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    result = Skew(
        rows=rows,
        of_user=of_user,
        of_item=of_item,
        command=f"python -m benchmarks.skew --rows {rows} --user {of_user:g} --item {of_item:g}",
        machine=Machine.here(),
        even=built[1],
        skewed=built[2],
    )
    save(result, page(result), out)
    print(page(result))


if __name__ == "__main__":
    typer.run(main)
