"""``lattice status``: which days are published, what is late, overdue or in quarantine, and the last runs."""

import json
import sys
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.filesize import decimal
from rich.table import Column, Table

from jobs import options
from jobs.build import STAGES
from jobs.forgetting import records as forgetting_records
from jobs.nightly import night_of
from jobs.prometheus import exposition, of_runs, of_tables
from jobs.runs import records
from jobs.target import Target
from pipelines.tables import published, value_counts
from pipelines.warehouse import write_text
from schemas.run import RunRecord, last_of_each

OVERDUE = 3
_SHOWN_RUNS = 10


def status(
    space: options.Space = options.DEFAULT_SPACE,
    warehouse: options.Warehouse = options.DEFAULT_WAREHOUSE,
    group: options.Group = options.DEFAULT_GROUP,
    expect: Annotated[
        datetime | None,
        typer.Option(
            "--expect", formats=["%Y-%m-%d"], help="The day (UTC) that must be published. Default: yesterday."
        ),
    ] = None,
    prometheus: Annotated[
        str | None, typer.Option("--prometheus", help="Also write it as a Prometheus text file.", metavar="FILE")
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Say up to when each table is published, what came too late or was bad, and how the last runs went.

    Exits with 3 if a table is overdue.

    Examples:

      lattice status --space my_space.yaml --warehouse /data/warehouse

      lattice status --expect 2017-11-30 --json

      lattice status --prometheus /var/lib/node_exporter/lattice.prom
    """
    target = Target.parse(space, warehouse, group)
    day = (expect or datetime.now(UTC) - timedelta(days=1)).date()
    due = night_of(target, day)
    rows: list[dict[str, object]] = []
    for stage in STAGES:
        for uri in stage.tables(target):
            found = published(uri)
            # Attributes have no time of their own.
            dated = uri not in target.attribute_tables.values()
            through = found.through if found else None
            rows.append(
                {
                    "table": uri.rsplit("/", 1)[-1],
                    "stage": stage.name,
                    "rows": found.rows if found else None,
                    "version": found.version if found else None,
                    "run": found.run if found else None,
                    "through": through.isoformat() if through else None,
                    "through_seconds": through.timestamp() if through else None,
                    "overdue": found is None or (dated and (through is None or through < due)),
                }
            )
    apart = {table: count for (table,), count in value_counts(target.quarantine, "table").items()}
    overdue = [row["table"] for row in rows if row["overdue"]]
    late = {row["table"]: row["rows"] for row in rows if str(row["table"]).startswith("late_")}
    runs = [run for run in records(target) if run.group == group or run.command == "forget"]
    requests = forgetting_records(target)
    forgotten = {
        "requests": len(requests),
        "users": sum(request.users for request in requests),
        "files_left": sum(request.erased is None and bool(request.tables) for request in requests),
    }
    last = runs[-_SHOWN_RUNS:]
    if prometheus:
        common = {"space": target.space.name, "group": group}
        write_text(prometheus, exposition([*of_tables(rows, apart, common), *of_runs(last_of_each(runs))]))
    if as_json:
        said = {"expected": due.isoformat(), "overdue": overdue, "late": late, "quarantined": apart, "tables": rows}
        said["forgotten"] = forgotten
        ended = [{**run.model_dump(mode="json", exclude={"published"}), "seconds": run.seconds} for run in last]
        print(json.dumps({**said, "runs": ended}, indent=2))
    else:
        _show(rows, due)
        _show_runs(last)
        for table, count in apart.items():
            print(f"In quarantine: {count:,} rows of {table}; see {target.quarantine}")
        if requests:
            left = f"; the files of {forgotten['files_left']} requests are still there" * bool(forgotten["files_left"])
            print(f"Forgotten: {forgotten['users']:,} users in {len(requests):,} requests{left}")
    if overdue:
        sys.exit(OVERDUE)


def _show(rows: list[dict[str, object]], due: datetime) -> None:
    shown = Table(
        Column("table", no_wrap=True), "made by", Column("rows", justify="right"), "published through", "",
        box=box.SIMPLE_HEAD, title=f"expected: everything before {due:%Y-%m-%d %H:%M} UTC",
    )  # fmt: skip
    for row in rows:
        through = f"{datetime.fromisoformat(str(row['through'])):%Y-%m-%d %H:%M}" if row["through"] else ""
        count = f"{row['rows']:,}" if row["rows"] is not None else "not published"
        state = "[red]overdue[/red]" if row["overdue"] else ""
        shown.add_row(str(row["table"]), str(row["stage"]), count, through, state)
    Console().print(shown)


def _show_runs(runs: list[RunRecord]) -> None:
    counted = (Column(name, justify="right") for name in ("took", "rows", "late", "in quarantine", "size"))
    shown = Table(
        Column("run", no_wrap=True), "command", "", *counted,
        box=box.SIMPLE_HEAD,
    )  # fmt: skip
    for run in runs:
        seconds = f"{run.seconds:,.0f} s" if run.seconds is not None else "not ended"
        counts = (f"{count:,}" for count in (run.rows, run.late, run.quarantined))
        state = f"[red]{run.state}[/red]" if run.state == "failed" else run.state
        shown.add_row(run.id, run.command, state, seconds, *counts, decimal(run.bytes))
    Console().print(shown)


if __name__ == "__main__":
    options.script(status)
