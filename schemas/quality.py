"""What was checked in the rows that a table gained last, and how they compare with those of the time before."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict

Level = Literal["fine", "warn", "stop"]
FEW = 200_000
"""So many rows are checked in memory: there a Spark job costs more than all that it does."""
Kind = Literal["positive rate", "mean", "null share"]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")


class Outcome(_Part):
    """One expectation, and how many of the rows that it looked at broke it."""

    failure: str
    why: str
    rows: int | None
    """None for a condition of the whole table."""
    failing: int
    passed: bool


class Moments(_Part):
    """One column over the rows of a domain; mean and standard deviation are those of the values that are known."""

    known: int
    mean: float | None
    std: float | None


class DomainProfile(_Part):
    """The rows of a domain; an id of 0 is unknown."""

    rows: int
    columns: dict[str, Moments]


class Profile(_Part):
    """The rows that a table gained in one run, by domain."""

    domains: dict[str, DomainProfile]


class Measure(_Part):
    """A number that differs from the time before by more than chance (three standard errors) explains.

    ``change`` is what exceeds that: of a positive rate as a share of the rate before, of a mean in standard deviations
    before, of a null share as it is.
    """

    domain: str
    column: str
    kind: Kind
    before: float
    now: float
    change: float
    level: Level


class Checked(_Part):
    """The last batch of a table."""

    table: str
    run: str
    through: datetime
    rows: int
    outcomes: tuple[Outcome, ...] = ()
    quarantined: int = 0
    measures: tuple[Measure, ...] = ()
    """Those that changed, the most first."""
