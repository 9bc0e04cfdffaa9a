"""``lattice nightly``: add what a day made available; the result equals one build over all days."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated

import typer

from jobs import options
from jobs.build import STAGES
from jobs.logs import say
from jobs.stages import grow_stages
from jobs.target import Target
from schemas.errors import LatticeError


def night_of(target: Target, day: date) -> datetime:
    """The midnight (UTC) that ends a day, or the end of what was observed, if that is earlier.

    Raises:
        LatticeError: the day is not over yet.
    """
    ends = datetime.combine(day, time.min, tzinfo=UTC) + timedelta(days=1)
    if ends > datetime.now(UTC):
        raise LatticeError(f"--date {day}", "This day is not over (days are UTC's).", "Give an earlier day.")
    return min(ends, target.observed_until)


def run_night(target: Target, day: date) -> None:
    """Add the day, and every earlier one that is lacking."""
    if grow_stages(target, STAGES, night_of(target, day)):
        say(f"nightly: {day} is published", day=str(day))
    else:
        say(f"nightly: {day} had been published before; nothing changed", day=str(day))


def days(date_: datetime | None, first: datetime | None, last: datetime | None) -> list[date]:
    """The days that the options name.

    Raises:
        LatticeError: they contradict each other.
    """
    if date_ is not None and (first or last):
        raise LatticeError("--date", "It goes neither with --from nor with --to.", "Give either --date or the two.")
    if (first is None) != (last is None):
        raise LatticeError("--from, --to", "Only one of them is given.", "Give both, or --date.")
    if first is None or last is None:
        return [(date_ or datetime.now(UTC) - timedelta(days=1)).date()]
    if first > last:
        raise LatticeError(f"--from {first:%Y-%m-%d}", f"It lies after --to {last:%Y-%m-%d}.", "Swap them.")
    return [(first + timedelta(days=n)).date() for n in range((last - first).days + 1)]


_DAY = ["%Y-%m-%d"]


def nightly(
    space: options.Space = options.DEFAULT_SPACE,
    warehouse: options.Warehouse = options.DEFAULT_WAREHOUSE,
    group: options.Group = options.DEFAULT_GROUP,
    sample: options.Sample = None,
    day: Annotated[
        datetime | None, typer.Option("--date", formats=_DAY, help="The day (UTC). Default: yesterday.")
    ] = None,
    first: Annotated[datetime | None, typer.Option("--from", formats=_DAY, help="Backfill: the first day.")] = None,
    last: Annotated[datetime | None, typer.Option("--to", formats=_DAY, help="Backfill: the last day.")] = None,
) -> None:
    """Add a day: the features of its impressions, and the labels of the windows that closed on it.

    Days that were missed are caught up with; the first night of an empty warehouse builds everything before it. A day
    that is published already changes nothing.

    Examples:

      lattice nightly --space my_space.yaml --warehouse /data/warehouse

      lattice nightly --date 2017-11-30

      lattice nightly --from 2017-11-01 --to 2017-11-30
    """
    target = Target.parse(space, warehouse, group, sample)
    for found in days(day, first, last):
        run_night(target, found)


if __name__ == "__main__":
    options.script(nightly)
