"""``lattice init``: a first space file, guessed from a user's own tables."""

from pathlib import Path
from typing import Annotated

import typer

from jobs import options
from pipelines.guessing.drafting import draft
from pipelines.guessing.names import plain
from pipelines.guessing.render import render
from pipelines.guessing.samples import read_samples
from schemas.errors import LatticeError
from schemas.space import known_zone

Files = Annotated[
    list[Path], typer.Argument(help="Tables: CSV, Parquet, folders of either, or Delta tables.", show_default=False)
]
Out = Annotated[Path | None, typer.Option("--out", help="The file to write. Default: standard output.")]
Name = Annotated[str | None, typer.Option("--name", help="The space's name. Default: that of --out, or my_space.")]
TimeZone = Annotated[str, typer.Option("--time-zone", help="Of times that have none, and of the splits' days.")]
Force = Annotated[bool, typer.Option("--force", help="Replace a file that is there.")]


def init(files: Files, out: Out = None, name: Name = None, time_zone: TimeZone = "UTC", force: Force = False) -> None:
    """Look at your tables and write a first space file, with everything that was guessed or is to be asked as comments.

    A part of each table is read; no Spark is started.

    Examples:

      lattice init impressions.csv purchases.csv products.csv --out shop.yaml

      lattice init /data/feed /data/clicks.parquet --time-zone Europe/Berlin | less
    """
    _check(out, name, time_zone, force)
    folder = out.parent if out is not None else Path()
    called = name or plain(out.stem if out is not None else "my_space", "space")
    text = render(draft(read_samples(files), called, folder, time_zone))
    if out is None:
        print(text, end="")
        return
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise LatticeError(
            str(out),
            f"The file cannot be written: {error.strerror or error}.",
            "Give a path in a folder that is there.",
        ) from error
    asked = text.count("question: ")
    print(f"{out}: {asked} questions. Answer them, then: lattice plan --space {out}")


def _check(out: Path | None, name: str | None, zone: str, force: bool) -> None:
    if out is not None and out.exists() and not force:
        raise LatticeError(str(out), "There is such a file already.", "Give another one, or --force to replace it.")
    if name is not None and name != plain(name, "space"):
        raise LatticeError(
            "--name", f"'{name}' is no name.", f"Small letters, digits and _, such as {plain(name, 'space')}."
        )
    try:
        known_zone(zone)
    except ValueError as error:
        raise LatticeError("--time-zone", f"'{zone}' is {error}.", "Give one of those.") from error


if __name__ == "__main__":
    options.script(init)
