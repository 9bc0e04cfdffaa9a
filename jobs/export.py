"""``lattice export``: a trained model as a program that runs without this project."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from jobs import options
from jobs.models import find_model
from jobs.target import Target
from lattice_model.export import archive
from lattice_model.training.checkpoint import load
from lattice_model.training.trainer import CHECKPOINT
from schemas.serving import ServingLayout

FOLDER = "export"
console = Console(stderr=True)


class Float8(StrEnum):
    """Scales of FP8 weights, as an option's choices."""

    rowwise = "rowwise"
    tensorwise = "tensorwise"


def export_model(model: Path, folder: Path, float8: Float8 | None = None) -> ServingLayout:
    """Export a trained model from its folder."""
    checkpoint = load(model / CHECKPOINT)
    with console.status(f"export: tracing model {model.name}"):
        return archive.write(
            folder,
            checkpoint.network,
            checkpoint.manifest,
            model=model.name,
            split=checkpoint.split,
            float8=float8.value if float8 else None,
        )


def exported(model: Path) -> archive.Export:
    """The export beside a model, which is made if it is not there yet."""
    folder = model / FOLDER
    if not (folder / archive.LAYOUT).is_file():
        export_model(model, folder)
    return archive.read(folder)


def export(
    space: options.Space = options.DEFAULT_SPACE,
    warehouse: options.Warehouse = options.DEFAULT_WAREHOUSE,
    group: options.Group = options.DEFAULT_GROUP,
    models: options.Models = None,
    split: options.SplitName = options.SplitChoice.test,
    model: options.TrainedModel = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="The folder to write. Default: `export` in the model's folder.")
    ] = None,
    float8: Annotated[
        Float8 | None,
        typer.Option("--fp8", help="Store the weights of linear layers in FP8: a scale a row, or one a matrix."),
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Write a trained model as program.pt2 (torch.export) and layout.json, which says what goes in and comes out.

    Raw columns go in, the probability of each objective at its longest window comes out; PyTorch alone runs it.

    Examples:

      lattice export

      lattice export --model 1a2b3c4d5e6f --out serving/model

      lattice export --fp8 rowwise --out serving/small
    """
    found = find_model(Target.parse(space, warehouse, group, models=models), split.value, model)
    folder = out or found / FOLDER
    layout = export_model(found, folder, float8)
    if as_json:
        print(layout.model_dump_json(indent=2))
    else:
        print(f"{folder}\nmodel {layout.model}, SHA-256 of its program: {layout.program_sha256}")


if __name__ == "__main__":
    options.script(export)
