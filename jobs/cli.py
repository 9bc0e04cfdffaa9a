"""The ``lattice`` command: one subcommand a job."""

import sys
from importlib import import_module

import typer

from jobs import logs, options

# Command -> panel of the help, module and function.
COMMANDS = {
    "demo": ("The whole way", "jobs.demo", "demo"),
    "doctor": ("The whole way", "jobs.doctor", "doctor"),
    "init": ("The whole way", "jobs.init", "init"),
    "build": ("Data", "jobs.build", "build"),
    "plan": ("Data", "jobs.plan", "plan"),
    "nightly": ("Data", "jobs.nightly", "nightly"),
    "backfill": ("Data", "jobs.backfill", "backfill"),
    "rollback": ("Data", "jobs.rollback", "rollback"),
    "compact": ("Data", "jobs.compact", "compact"),
    "forget": ("Data", "jobs.forget", "forget"),
    "status": ("Data", "jobs.status", "status"),
    "quality": ("Data", "jobs.quality", "quality"),
    "tables": ("Data", "jobs.tables", "tables"),
    "schema": ("Data", "jobs.schema", "schema"),
    "ingest": ("Stages of build", "jobs.ingest", "ingest"),
    "unify": ("Stages of build", "jobs.unify", "unify"),
    "zip": ("Stages of build", "jobs.zip", "zip_windows"),
    "hold-out": ("Stages of build", "jobs.hold_out", "hold_out"),
    "prepare": ("Stages of build", "jobs.prepare", "prepare"),
    "train": ("Models", "jobs.train", "train"),
    "evaluate": ("Models", "jobs.evaluate", "evaluate"),
    "models": ("Models", "jobs.registry", "models"),
    "importance": ("Models", "jobs.importance", "importance"),
    "select": ("Models", "jobs.selection", "select"),
    "export": ("Models", "jobs.export", "export"),
    "score": ("Models", "jobs.score", "score"),
    "report": ("Models", "jobs.report", "report"),
    "flops": ("Models", "jobs.flops", "flops"),
}


def application(asked: str | None) -> typer.Typer:
    """The application; only the command that is asked for is imported, since torch and Spark take seconds each."""
    app = typer.Typer(
        name="lattice",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode="markdown",
    )
    app.callback()(_before)
    for name in [asked] if asked in COMMANDS else COMMANDS:
        panel, module, function = COMMANDS[name]
        app.command(name, rich_help_panel=panel)(getattr(import_module(module), function))
    return app


def _before(log_format: options.Log = logs.LogFormat.text) -> None:
    """One dataset, one feature selection and one model for many domains and objectives."""
    logs.configure(log_format)


def main() -> None:
    """The console script."""
    options.guarded(application(next((word for word in sys.argv[1:] if word in COMMANDS), None)))


if __name__ == "__main__":
    main()
