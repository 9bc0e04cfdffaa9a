"""The ``lattice`` command: one subcommand a job."""

import typer

from jobs import options
from jobs.build import build
from jobs.demo import demo
from jobs.doctor import doctor
from jobs.evaluate import evaluate
from jobs.hold_out import hold_out
from jobs.ingest import ingest
from jobs.prepare import prepare
from jobs.report import report
from jobs.schema import schema
from jobs.tables import tables
from jobs.train import train
from jobs.unify import unify
from jobs.zip import zip_windows

app = typer.Typer(
    name="lattice",
    help="One dataset, one feature selection and one model for many domains and objectives.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
for _panel, _commands in {
    "The whole way": {"demo": demo, "doctor": doctor},
    "Data": {"build": build, "tables": tables, "schema": schema},
    "Stages of build": {
        "ingest": ingest,
        "unify": unify,
        "zip": zip_windows,
        "hold-out": hold_out,
        "prepare": prepare,
    },
    "Models": {"train": train, "evaluate": evaluate, "report": report},
}.items():
    for _name, _command in _commands.items():
        app.command(_name, rich_help_panel=_panel)(_command)


def main() -> None:
    """The console script."""
    options.guarded(app)


if __name__ == "__main__":
    main()
