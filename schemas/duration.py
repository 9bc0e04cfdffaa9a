"""Durations as a space file writes them: a whole number and a unit, such as ``90m``, ``7d`` or ``4w``."""

import re
from datetime import timedelta
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

_UNITS = {"w": 604_800, "d": 86_400, "h": 3_600, "m": 60, "s": 1}
_PATTERN = re.compile(r"(\d+)([wdhms])")


def parse_duration(value: Any) -> timedelta:
    """Return the duration that ``value`` (a string such as ``7d``, or a timedelta) stands for.

    Raises:
        ValueError: it is neither, or it is not positive.
    """
    if isinstance(value, timedelta):
        duration = value
    else:
        match = _PATTERN.fullmatch(value) if isinstance(value, str) else None
        if match is None:
            raise ValueError("a duration is a positive whole number and one of s, m, h, d, w, such as 7d")
        duration = timedelta(seconds=int(match[1]) * _UNITS[match[2]])
    if duration <= timedelta(0):
        raise ValueError("a duration must be positive, such as 7d")
    if duration.microseconds:
        raise ValueError("a duration is a whole number of seconds, such as 90s")
    return duration


def format_duration(duration: timedelta) -> str:
    """Return the canonical short form: the largest of d, h, m, s that divides it (weeks are written as days)."""
    seconds = int(duration.total_seconds())
    for unit in "dhm":
        if seconds % _UNITS[unit] == 0:
            return f"{seconds // _UNITS[unit]}{unit}"
    return f"{seconds}s"


def microseconds(duration: timedelta) -> int:
    """Return the duration in microseconds, the unit of every time column."""
    return duration // timedelta(microseconds=1)


Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration, return_type=str),
    WithJsonSchema({"type": "string", "pattern": f"^{_PATTERN.pattern}$", "examples": ["1d", "7d", "90m"]}),
]
