"""``lattice quality``: a page of what was checked in the last batch of every table."""

from pathlib import Path
from typing import Annotated

import typer

from jobs import options
from jobs.target import Target
from pipelines.report.quality_page import quality_page
from pipelines.tables import join_uri, value_counts
from pipelines.warehouse import list_files, local_path, read_text, write_text
from schemas.quality import Checked


def quality(
    space: options.Space = options.DEFAULT_SPACE,
    warehouse: options.Warehouse = options.DEFAULT_WAREHOUSE,
    group: options.Group = options.DEFAULT_GROUP,
    out: Annotated[Path, typer.Option("--out", help="The HTML file.")] = Path("quality.html"),
) -> None:
    """Write one self-contained HTML page: expectations, quarantine, and drift against the batch before.

    Examples:

      lattice quality --space my_space.yaml --warehouse /data/warehouse

      lattice quality --out quality.html
    """
    target = Target.parse(space, warehouse, group)
    write_text(str(out), page_of(target))
    print(local_path(str(out)))


def page_of(target: Target) -> str:
    """The page."""
    checked = []
    for uri in target.tables:
        folder, name = uri.rsplit("/", 1)
        place = join_uri(folder, "checks", f"{name}.json")
        if place in list_files(join_uri(folder, "checks")):
            checked.append(Checked.model_validate_json(read_text(place)))
    counts = value_counts(target.quarantine, "table", "reason")
    reasons = {(table, reason): count for (table, reason), count in counts.items()}
    return quality_page(target.space.title or target.space.name, target.group, checked, reasons)


if __name__ == "__main__":
    options.script(quality)
