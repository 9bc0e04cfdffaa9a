"""``lattice status``: which days are published, what is late or overdue; for a schedule's alert."""

import json
import sys
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Column, Table

from jobs import options
from jobs.build import STAGES
from jobs.nightly import night_of
from jobs.target import Target
from pipelines.tables import published

OVERDUE = 3


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
    as_json: options.Json = False,
) -> None:
    """Say up to when each table is published and how many rows came too late; exit with 3 if a table is overdue.

    Examples:

      lattice status --space my_space.yaml --warehouse /data/warehouse

      lattice status --expect 2017-11-30 --json
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
                    "through": through.isoformat() if through else None,
                    "overdue": found is None or (dated and (through is None or through < due)),
                }
            )
    overdue = [row["table"] for row in rows if row["overdue"]]
    late = {row["table"]: row["rows"] for row in rows if str(row["table"]).startswith("late_")}
    if as_json:
        print(json.dumps({"expected": due.isoformat(), "overdue": overdue, "late": late, "tables": rows}, indent=2))
    else:
        _show(rows, due)
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


if __name__ == "__main__":
    options.script(status)
