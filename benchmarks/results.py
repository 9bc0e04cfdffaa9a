"""Where results go: a page for people, and beside it the same as JSON."""

from pathlib import Path
from typing import Annotated

import typer
from pydantic import BaseModel, ConfigDict

Out = Annotated[Path, typer.Option("--out", help="The page; a JSON file lies beside it.")]
Scratch = Annotated[Path | None, typer.Option("--scratch", help="Where to build. Default: a temporary folder.")]

Budget = Annotated[float, typer.Option("--budget", min=0, help="Minutes; 0 only writes the page of what is known.")]
Keep = Annotated[Path, typer.Option("--keep", help="Where results are kept; a later run goes on from them.")]


class Result(BaseModel):
    """A part of what a benchmark found, as it is kept; infinity survives as a word."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")


def save(result: Result, page: str, out: Path) -> None:
    """Write both."""
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(page, encoding="utf-8")
    out.with_suffix(".json").write_text(result.model_dump_json(indent=1) + "\n", encoding="utf-8")
