"""Logs: lines for people, or one JSON object a line, each with the id of its run."""

import json
import logging
import os
import sys
from contextvars import ContextVar
from datetime import UTC, datetime
from enum import StrEnum

from rich.console import Console
from rich.logging import RichHandler

from schemas.errors import LatticeError

console = Console(stderr=True)
"""What people see beside the results: progress and, on a terminal, the log."""
RUN: ContextVar[str] = ContextVar("run", default="")
"""The id of the run that is on."""
log = logging.getLogger("lattice")


class LogFormat(StrEnum):
    """How log lines look."""

    text = "text"
    json = "json"


class _Lines(logging.Handler):
    """To whatever standard error is now; Rich would wrap the lines of a file."""

    def emit(self, record: logging.LogRecord) -> None:
        print(self.format(record), file=sys.stderr, flush=True)


class _Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        run = f"{RUN.get()} " if RUN.get() else ""
        level = f"{record.levelname.lower()}: " if record.levelno > logging.INFO else ""
        return f"{run}{level}{record.getMessage()}"


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname.lower(),
            "run": RUN.get() or None,
            "message": record.getMessage().strip(),
            **getattr(record, "fields", {}),
        }
        return json.dumps(line)


def configure(form: LogFormat) -> None:
    """Send the project's log to standard error."""
    handler: logging.Handler
    if form is LogFormat.text and console.is_terminal:
        handler = RichHandler(console=console, show_path=False, show_level=False, log_time_format="%H:%M:%S")
    else:
        handler = _Lines()
        handler.setFormatter(_Json() if form is LogFormat.json else _Text())
    log.handlers[:] = [handler]
    # Some library gives the root logger a handler of its own: each line would come twice.
    log.propagate = False
    log.setLevel(logging.INFO)


def wanted() -> LogFormat:
    """What the environment asks for.

    Raises:
        LatticeError: LATTICE_LOG is none of the formats.
    """
    asked = os.environ.get("LATTICE_LOG", LogFormat.text)
    if asked not in list(LogFormat):
        raise LatticeError("LATTICE_LOG", f"There is no log format '{asked}'.", f"Allowed: {', '.join(LogFormat)}.")
    return LogFormat(asked)


def is_json() -> bool:
    """Whether log lines are JSON."""
    return any(isinstance(handler.formatter, _Json) for handler in log.handlers)


def warn(message: str, **fields: object) -> None:
    """Log a warning."""
    if not log.handlers:
        configure(LogFormat.text)
    log.warning(message, extra={"fields": fields})


def say(message: str, **fields: object) -> None:
    """Log a line; ``fields`` are what it tells, for the JSON."""
    if not log.handlers:
        configure(LogFormat.text)
    log.info(message, extra={"fields": fields})
