"""Spaces with thousands of feature columns: what planning and building them takes.

``python -m benchmarks.wide --columns 1500 --columns 12000`` makes a space of ten domains which share that many number
columns evenly, with few rows, and builds it: what it takes beyond the rows is the price of the columns.
"""

import math
import os
import shutil
import time
from itertools import pairwise
from pathlib import Path
from tempfile import mkdtemp
from typing import Annotated, Any

import numpy as np
import pandas as pd
import typer
import yaml
from pyspark.sql import SparkSession
from rich.console import Console

from benchmarks.quality_result import Machine
from benchmarks.results import Out, Result, Scratch, save
from jobs.build import STAGES
from jobs.memory import PeakMemory
from jobs.stages import run_stages
from jobs.target import Target
from pipelines.session import spark_session

console = Console(stderr=True)
_DOMAINS = 10
_START, _DAYS = pd.Timestamp("2024-03-01", tz="UTC"), 30


class Width(Result):
    """What one number of columns took: seconds, and CPU seconds of this process and Spark's, by stage."""

    columns: int
    seconds: dict[str, float]
    cpu: dict[str, float]
    peak_gib: float


class Widths(Result):
    """Everything that was measured."""

    rows: int
    command: str
    machine: Machine
    widths: tuple[Width, ...]


def write_wide(folder: Path, columns: int, rows: int) -> Path:
    """Write a space of ``columns`` number columns and ``rows`` impressions; return its file's path."""
    random = np.random.default_rng(columns)
    of_domain = {
        f"d{domain}": [
            f"d{domain}_x{number}" for number in range(columns * domain // _DOMAINS, columns * (domain + 1) // _DOMAINS)
        ]
        for domain in range(_DOMAINS)
    }
    shown = pd.DataFrame(
        {
            "user_id": random.integers(0, 50, rows).astype(str),
            "item_id": random.integers(0, 20, rows).astype(str),
            "impression_time": _START + pd.to_timedelta(np.sort(random.integers(0, _DAYS * 86_400, rows)), unit="s"),
        }
    )
    _write(shown.iloc[::5].rename(columns={"impression_time": "feedback_time"}), folder / "buys.parquet")
    for place, (domain, names) in enumerate(of_domain.items()):
        own = shown.iloc[place::_DOMAINS]
        numbers = pd.DataFrame(random.normal(size=(len(own), len(names))), columns=names, index=own.index)
        _write(pd.concat([own, numbers], axis=1), folder / f"{domain}.parquet")
    path = folder / "wide.yaml"
    path.write_text(yaml.safe_dump(_space(of_domain), sort_keys=False), encoding="utf-8")
    return path


def _write(rows: pd.DataFrame, path: Path) -> None:
    rows.to_parquet(path, index=False, coerce_timestamps="us")


def _space(of_domain: dict[str, list[str]]) -> dict[str, Any]:
    end = _START + pd.Timedelta(days=_DAYS)
    return {
        "name": "wide",
        "source": {"kind": "files"},
        "time_zone": "UTC",
        "id_spaces": {"user": 64, "item": 32},
        "domains": {
            domain: {
                "columns": dict.fromkeys(names, "double"),
                "impressions": {"path": f"{domain}.parquet", "format": "parquet"},
            }
            for domain, names in of_domain.items()
        },
        "objectives": {
            "buy": {
                "domains": list(of_domain),
                "windows": ["1d", "7d"],
                "observed": {"from": _START.isoformat(), "to": end.isoformat()},
                "feedback": {"path": "buys.parquet", "format": "parquet"},
            }
        },
        "events": {
            "buys": {
                "columns": {},
                "table": {"path": "buys.parquet", "format": "parquet", "columns": {"event_time": "feedback_time"}},
            }
        },
        "attributes": {},
        "features": {
            "categorical": {
                "user": {"column": "user_id", "id_space": "user"},
                "item": {"column": "item_id", "id_space": "item"},
            },
            "dense": {
                name: {"column": name, "domains": [domain]} for domain, names in of_domain.items() for name in names
            },
            "history": {"pair": {"events": "buys", "keys": ["user_id", "item_id"], "horizons": ["7d", "all"]}},
        },
        "groups": {"all": {"windows": ["1d", "7d"]}},
        "splits": {
            "validation": {"from": "2024-03-12", "to": "2024-03-14"},
            "test": {"from": "2024-03-18", "to": "2024-03-20"},
        },
    }


def measure(columns: int, rows: int, scratch: Path | None) -> Width:
    """Build such a space in a temporary folder."""
    folder = Path(mkdtemp(prefix="lattice-wide-", dir=scratch))
    try:
        seconds, cpu = dict[str, float](), dict[str, float]()
        path = write_wide(folder, columns, rows)
        started, spent = time.monotonic(), _cpu()
        target = Target.parse(str(path), str(folder / "warehouse"), "all")
        seconds["space"], cpu["space"] = time.monotonic() - started, _cpu() - spent
        with PeakMemory() as memory:
            for stage in STAGES:
                started, spent = time.monotonic(), _cpu()
                run_stages(target, [stage])
                seconds[stage.name], cpu[stage.name] = time.monotonic() - started, _cpu() - spent
                console.print(f"{columns} columns, {stage.name}: {seconds[stage.name]:.0f} s", highlight=False)
        return Width(columns=columns, seconds=seconds, cpu=cpu, peak_gib=memory.peak / 2**30)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _cpu() -> float:
    """CPU seconds so far of this process and of Spark's; not of Spark's Python workers, which plan nothing."""
    jvm = SparkSession.active()._jvm
    assert jvm is not None
    stat = Path(f"/proc/{jvm.java.lang.ProcessHandle.current().pid()}/stat").read_text().rsplit(")", 1)[1].split()
    ticks = int(stat[11]) + int(stat[12])
    return time.process_time() + ticks / os.sysconf("SC_CLK_TCK")


def _measured(out: Path, rows: int) -> tuple[Width, ...]:
    """What earlier runs with as many rows have found."""
    if not out.with_suffix(".json").exists():
        return ()
    found = Widths.model_validate_json(out.with_suffix(".json").read_text(encoding="utf-8"))
    return found.widths if found.rows == rows else ()


def page(result: Widths) -> str:
    """The result as Markdown."""
    steps = list(result.widths[0].seconds)
    lines = [
        "# What columns cost",
        "",
        f"Spaces of {_DOMAINS} domains and {result.rows:,} impressions in all: next to no rows, so that what a stage "
        "takes is planning and writing columns. CPU seconds of the driver's two processes, the whole build's seconds "
        f"beside them; `space` is reading the space file. By `{result.command}`, in "
        "one run or several.",
        "",
        f"| columns | {' | '.join(steps)} | together | CPU ms a column | seconds | peak GiB |",
        "| ---: |" + " ---: |" * (len(steps) + 4),
    ]
    for width in result.widths:
        cells = (f"{width.cpu[step]:.1f}" for step in steps)
        cpu, whole = sum(width.cpu.values()), sum(width.seconds.values())
        each = 1000 * cpu / width.columns
        lines.append(
            f"| {width.columns:,} | {' | '.join(cells)} | {cpu:.0f} | {each:.0f} | {whole:.0f} | {width.peak_gib:.1f} |"
        )
    lines += [
        "",
        *_slopes(result.widths),
        "- the first of a run also warms Spark up.",
        "",
        str(result.machine),
        "",
    ]
    return "\n".join(lines)


def _slopes(widths: tuple[Width, ...]) -> list[str]:
    """How CPU grows with the columns; 1 is in proportion."""
    return [
        f"- slope from {one.columns:,} to {other.columns:,} columns: "
        f"{math.log(sum(other.cpu.values()) / sum(one.cpu.values())) / math.log(other.columns / one.columns):.2f}."
        for one, other in pairwise(widths)
    ]


def main(
    columns: Annotated[list[int], typer.Option("--columns", help="How many; give several.")],
    rows: Annotated[int, typer.Option("--rows", help="Impressions of all domains together.")] = 2_000,
    scratch: Scratch = None,
    out: Out = Path("docs/results/wide.md"),
) -> None:
    """Build a space of each width."""
    spark_session("benchmark").range(1).count()
    widths = [width for width in _measured(out, rows) if width.columns not in columns]
    every = sorted({*columns, *(width.columns for width in widths)})
    command = f"python -m benchmarks.wide {' '.join(f'--columns {count}' for count in every)} --rows {rows}"
    for count in columns:
        widths.append(measure(count, rows, scratch))
        result = Widths(
            rows=rows, command=command, machine=Machine.here(), widths=tuple(sorted(widths, key=lambda w: w.columns))
        )
        # After each width: what was measured must not be lost with a wider one.
        save(result, page(result), out)
    print(out.read_text(encoding="utf-8"))


if __name__ == "__main__":
    typer.run(main)
