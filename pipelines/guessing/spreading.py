"""Some of many, evenly spaced."""

from collections.abc import Sequence
from typing import TypeVar

PIECES = 100
"""So many files of a table, and row groups of them, are looked into."""

_T = TypeVar("_T")


def spread(parts: Sequence[_T]) -> Sequence[_T]:
    """At most ``PIECES`` of them, evenly spaced from the first to the last."""
    if len(parts) <= PIECES:
        return parts
    return [parts[number * (len(parts) - 1) // (PIECES - 1)] for number in range(PIECES)]
