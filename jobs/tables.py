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
    found = [(stage.name, uri, published(uri)) for stage in STAGES for uri in stage.tables(target)]
    if as_json:
        rows = [
            {
                "table": _name(uri),
                "stage": stage,
                "version": table.version if table else None,
                "rows": table.rows if table else None,
                "uri": uri,
            }
            for stage, uri, table in found
        ]
        print(json.dumps(rows, indent=2))
        return
    shown = Table("table", "made by", "version", "rows")
    for stage, uri, table in found:
        version, count = (str(table.version), f"{table.rows:,}") if table else ("not published", "")
        shown.add_row(_name(uri), stage, version, count)
    Console().print(shown)


def _name(uri: str) -> str:
    return uri.rsplit("/", 1)[-1]


if __name__ == "__main__":
    options.script(tables)
