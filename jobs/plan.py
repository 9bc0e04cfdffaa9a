"""``lattice plan``: what a build would read, compute and write, before it runs."""

import json
from typing import Any

from rich import box
from rich.console import Console
from rich.filesize import decimal
from rich.table import Column, Table

from jobs import options
from jobs.build import STAGES
from jobs.target import Target
from pipelines.sources import source_files
from pipelines.tables import byte_size, published
from schemas.duration import format_duration
from schemas.features import categorical_columns, dense_columns, sequence_columns
from schemas.privacy import in_force


def plan(
    space: options.Space = options.DEFAULT_SPACE,
    warehouse: options.Warehouse = options.DEFAULT_WAREHOUSE,
    group: options.Group = options.DEFAULT_GROUP,
    sample: options.Sample = None,
    as_json: options.Json = False,
) -> None:
    """Show what a build would read, compute and write: raw files, features, labels, and which stages would run.

    Nothing is read but the names and sizes of files and the warehouse's logs; no Spark is started.

    Examples:

      lattice plan --space my_space.yaml --warehouse /data/warehouse

      lattice plan --sample demo --json
    """
    found = plan_of(Target.parse(space, warehouse, group, sample))
    if as_json:
        print(json.dumps(found, indent=2))
    else:
        _show(found, Console())


def plan_of(target: Target) -> dict[str, Any]:
    """The plan as plain data: ``reads``, ``computes``, ``stages``."""
    space, group = target.space, target.group
    dense, sequences = dense_columns(target.trained), sequence_columns(target.trained)
    labels = [
        f"{domain}/{objective}" + "".join(f" {format_duration(w)}" for w in space.objectives[objective].windows)
        for domain, objective in space.portfolios(group)
    ]
    stages = []
    stale = False
    for stage in STAGES:
        tables = [published(uri) for uri in stage.tables(target)]
        wanted = target.fingerprints[stage.name]
        # What is made of tables that are made anew is made anew.
        stale = stale or any(table is None or table.fingerprint != wanted for table in tables)
        stages.append(
            {
                "stage": stage.name,
                "title": stage.title,
                "runs": stale,
                "tables": [
                    {
                        "table": uri.rsplit("/", 1)[-1],
                        "rows": table.rows if table else None,
                        "bytes": byte_size(table) if table else None,
                    }
                    for uri, table in zip(stage.tables(target), tables, strict=True)
                ],
            }
        )
    return {
        "space": space.name,
        "group": group,
        "sample": target.sample_name,
        "through": target.end.isoformat(),
        "reads": [{"file": file.path, "bytes": file.size} for file in source_files(space, target.folder)],
        "computes": {
            "domains": list(space.group_domains(group)),
            "labels": labels,
            "negatives kept": [f"{name} {share:.4g}" for name, share in space.groups[group].negatives.items()]
            or ["all"],
            "windows": [format_duration(window) for window in space.groups[group].windows],
            "selection": target.selection.version if target.selection else "none",
            "categorical features": len(categorical_columns(target.trained)),
            "dense features": len(dense),
            "sequence features": len(sequences),
            "events a sequence": max((part.length for part in sequences), default=0),
            "privacy rules": in_force(space, group) or ["none"],
        },
        "stages": stages,
    }


def _show(found: dict[str, Any], console: Console) -> None:
    files = Table(Column("reads", overflow="fold"), Column("size", justify="right", no_wrap=True), box=box.SIMPLE_HEAD)
    for file in found["reads"]:
        files.add_row(file["file"], _size(file["bytes"]))
    console.print(files)
    computed = Table("computes", Column(overflow="fold"), box=box.SIMPLE_HEAD)
    for name, value in found["computes"].items():
        computed.add_row(
            name, ", ".join(value) if isinstance(value, list) else value if isinstance(value, str) else f"{value:,}"
        )
    computed.add_row("up to", found["through"])
    console.print(computed)
    stages = Table(
        Column("stage", no_wrap=True), Column("", no_wrap=True), Column("writes", no_wrap=True),
        Column("rows now", justify="right", no_wrap=True), Column("size now", justify="right", no_wrap=True),
        box=box.SIMPLE_HEAD,
    )  # fmt: skip
    for stage in found["stages"]:
        for number, table in enumerate(stage["tables"]):
            head = (
                (stage["stage"], "[yellow]runs[/yellow]" if stage["runs"] else "finished") if not number else ("", "")
            )
            rows = f"{table['rows']:,}" if table["rows"] is not None else "-"
            stages.add_row(*head, table["table"], rows, _size(table["bytes"]))
    console.print(stages)


def _size(count: int | None) -> str:
    return "-" if count is None else decimal(count)


if __name__ == "__main__":
    options.script(plan)
