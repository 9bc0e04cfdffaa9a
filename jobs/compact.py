"""``lattice compact``: merge the small files that nights leave, and delete what no one needs any more."""

from typing import Annotated

import typer

from jobs import options
from jobs.build import STAGES
from jobs.erasing import erase, kept_pins
from jobs.logs import say
from jobs.runs import running
from jobs.target import Target
from pipelines.layout import rows_per_group
from pipelines.tables import Published, join_uri, published, vacuum
from pipelines.tables import compact as merge
from pipelines.warehouse import list_files, read_text, write_text
from schemas.manifest import PinnedTable, TrainingManifest


def compact(
    space: options.Space = options.DEFAULT_SPACE,
    warehouse: options.Warehouse = options.DEFAULT_WAREHOUSE,
    group: options.Group = options.DEFAULT_GROUP,
    keep_days: Annotated[
        int,
        typer.Option("--keep-days", min=0, help="Files that left a table so lately stay, for who still reads them."),
    ] = 7,
) -> None:
    """Merge small files of every table, and delete files that neither a published version nor a manifest needs.

    A version that a manifest pins can be read for as long as that manifest lies in the warehouse, unless it holds
    forgotten users (`lattice forget`): of them nothing is left.

    Examples:

      lattice compact --space my_space.yaml --warehouse /data/warehouse

      lattice compact --keep-days 30
    """
    target = Target.parse(space, warehouse, group)
    compact_tables(target, keep_days)


def compact_tables(target: Target, keep_days: int) -> None:
    """Compact and vacuum the tables of a group and of its space."""
    with running(target, "compact") as run:
        _compact(target, keep_days, run.id)


def _compact(target: Target, keep_days: int, run: str) -> None:
    training, packed = target.group_table("training"), rows_per_group(target.trained)
    laid_out = {training: packed, target.group_table("evaluation"): packed}
    before = {uri: found for stage in STAGES for uri in stage.tables(target) if (found := published(uri))}

    def move_manifest(merged: Published) -> None:
        if merged.uri == training:
            _move_manifest(target, before[training], merged)

    after = {uri: merge(table, move_manifest, run, laid_out.get(uri)) for uri, table in before.items()}
    pinned = pinned_versions(target)
    for uri, table in after.items():
        removed = vacuum(uri, {table.version, *kept_pins(uri, pinned.get(uri, ()), keep_days)}, keep_days)
        name = uri.rsplit("/", 1)[-1]
        merged = "merged" if table.version != before[uri].version else "as it was"
        line = f"  {name:<24} version {table.version:<4} {merged:<10} {removed:>6} files deleted"
        say(line, table=name, version=table.version, deleted=removed)
        for beside, version in table.pins.items():
            vacuum(join_uri(uri.rsplit("/", 1)[0], beside), {version}, keep_days)
    erase(target, keep_days, pinned)


def _move_manifest(target: Target, before: Published, after: Published) -> None:
    """The manifest of the merged training table: that of the version with the same rows."""
    manifest = TrainingManifest.model_validate_json(read_text(target.manifest_uri(before.version)))
    pinned = PinnedTable(uri=after.uri, version=after.version, rows=after.rows)
    moved = manifest.model_copy(update={"tables": {**manifest.tables, "training": pinned}})
    write_text(target.manifest_uri(after.version), moved.model_dump_json(indent=1))


def pinned_versions(target: Target) -> dict[str, set[int]]:
    """The versions that manifests of the space's groups pin, by table."""
    found: dict[str, set[int]] = {}
    for group in target.space.groups:
        for uri in list_files(f"{target.warehouse.rstrip('/')}/{target.space.name}/{group}/manifests"):
            manifest = TrainingManifest.model_validate_json(read_text(uri))
            for table in manifest.tables.values():
                found.setdefault(table.uri, set()).add(table.version)
    return found


if __name__ == "__main__":
    options.script(compact)
