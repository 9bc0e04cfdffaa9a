"""Two small tables of one manifest, as the benchmarks take their rows."""

from pathlib import Path

from deltalake import write_deltalake

from benchmarks.models.rows import Source
from schemas.manifest import PinnedTable
from tests.lattice_model.factories import make_manifest
from tests.lattice_model.tables import make_table

ROWS = 900


def make_source(folder: Path) -> Source:
    """Two domains; all rows lie before both cuts, and two thirds of them are validated on, a third tested on."""
    plain = make_manifest(domains=("web", "app"))
    for name in ("training", "evaluation"):
        write_deltalake(str(folder / name), make_table(plain, ROWS))
    tables = {name: PinnedTable(uri=str(folder / name), version=0, rows=ROWS) for name in ("training", "evaluation")}
    return Source(manifest=plain.model_copy(update={"tables": tables}), folder=folder / "kept")
