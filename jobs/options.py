"""The command line's shared options, and the one place where a user's mistake becomes a message."""

import sys
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from jobs import logs
from schemas.errors import LatticeError

Space = Annotated[
    str, typer.Option("--space", help="The model space: a YAML file, or the name of a shipped one.", metavar="FILE")
]
Warehouse = Annotated[
    str, typer.Option("--warehouse", help="Where tables, models and reports live: a folder or a URI.")
]
Group = Annotated[str, typer.Option("--group", help="The group of portfolios that share one dataset and one model.")]
Sample = Annotated[
    str | None,
    typer.Option("--sample", help="A sample the space declares, or users=RATE, or impressions=RATE. Default: all."),
]
Json = Annotated[bool, typer.Option("--json", help="Print results as JSON.")]
Models = Annotated[
    Path | None, typer.Option("--models", help="Where models live. Default: in the warehouse, if it is a folder.")
]
ModelKind = Annotated[
    str | None,
    typer.Option(
        "--model", help="Which model: lattice, or a baseline such as dlrm. Default: as --config says, or lattice."
    ),
]
TrainedModel = Annotated[
    str | None,
    typer.Option("--model", help="A trained model, by its folder's name. Default: the latest of the split."),
]
ModelSettings = Annotated[
    Path | None,
    typer.Option(
        "--config", help="YAML with `model`, `training` and `network` settings; a wrong key lists what is allowed."
    ),
]


Log = Annotated[
    logs.LogFormat,
    typer.Option("--log-format", envvar="LATTICE_LOG", help="Log lines for people, or one JSON object a line."),
]


class SplitChoice(StrEnum):
    """The splits, as an option's choices."""

    validation = "validation"
    test = "test"


SplitName = Annotated[SplitChoice, typer.Option("--split", help="The evaluation range that the model is judged on.")]

DEFAULT_SPACE = "complete_journey"
DEFAULT_WAREHOUSE = "warehouse"
DEFAULT_GROUP = "all"


def guarded(command: Callable[[], Any]) -> None:
    """Run a command; a LatticeError becomes its three lines (or a line of JSON) and exit status 2."""
    try:
        command()
    except LatticeError as error:
        if logs.is_json():
            logs.log.error(str(error), extra={"fields": {"place": error.place, "remedy": error.remedy}})
            sys.exit(2)
        Console(stderr=True).print(f"error: {error}", style="bold red", markup=False, highlight=False, soft_wrap=True)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


def script(command: Callable[..., Any]) -> None:
    """Run one command as a script: ``spark-submit jobs/<name>.py`` takes the options of ``lattice <name>``."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(command)

    def run() -> None:
        logs.configure(logs.wanted())
        app()

    guarded(run)
