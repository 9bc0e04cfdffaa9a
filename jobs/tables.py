"""``lattice tables``: which version of each table is published."""

import json

from rich.console import Console
from rich.table import Table

from jobs import options
from jobs.build import STAGES
from jobs.target import Target
from pipelines.tables import published


def tables(
    space: options.Space = options.DEFAULT_SPACE,
    warehouse: options.Warehouse = options.DEFAULT_WAREHOUSE,
    group: options.Group = options.DEFAULT_GROUP,
    as_json: options.Json = False,
) -> None:
    """List the space's tables with their published versions and rows.

    Examples:

      lattice tables

      lattice tables --json
    """
    target = Target.parse(space, warehouse, group)
    rows = []
    for stage in STAGES:
        for uri in stage.tables(target):
            found = published(uri)
            version, count = (found.version, found.rows) if found else (None, None)
            rows.append({"table": uri.rsplit("/", 1)[-1], "stage": stage.name, "version": version, "rows": count, "uri": uri})
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    shown = Table("table", "made by", "version", "rows", "where")
    for row in rows:
        count = f"{row['rows']:,}" if row["rows"] is not None else ""
        version = str(row["version"]) if row["version"] is not None else "not published"
        shown.add_row(str(row["table"]), str(row["stage"]), version, count, str(row["uri"]))
    Console().print(shown)


if __name__ == "__main__":
    options.script(tables)
