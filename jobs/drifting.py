"""Watches how a night's rows compare with those of the last one: warns, or stops the night, as the space file says."""

from collections.abc import Sequence

from pyspark.sql import DataFrame

from jobs.context import Context
from jobs.logs import warn
from pipelines.drift import compared, profile
from pipelines.tables import Published, published
from pipelines.warehouse import list_files, read_text, write_text
from schemas.errors import LatticeError
from schemas.quality import Measure, Profile

_SHOWN = 10


class DriftWatch:
    """Looks at the rows that a table gains in a night; a whole build has nothing to be compared with."""

    def __init__(self, context: Context, uri: str, numbers: Sequence[str], ids: Sequence[str] = ()) -> None:
        self._context, self._uri, self._numbers, self._ids = context, uri, numbers, ids
        self._folder = context.target.group_table("profiles")
        self._profile: Profile | None = None

    def look(self, rows: DataFrame, count: int) -> None:
        """Compare the rows with the last night's.

        Raises:
            LatticeError: a measure changed by more than the space file lets pass.
        """
        if not self._context.grow:
            return
        self._profile = profile(rows, self._numbers, self._ids, count)
        place = self._place(published(self._uri))
        if place not in list_files(self._folder):
            return
        before = Profile.model_validate_json(read_text(place))
        measures = compared(before, self._profile, self._context.target.space.quality.drift)
        self._context.measures[self._uri] = measures
        name = self._uri.rsplit("/", 1)[-1]
        stopping = [measure for measure in measures if measure.level == "stop"]
        if stopping:
            raise LatticeError(
                f"table '{name}'",
                f"{len(stopping)} measures changed by more than quality.drift of the space file lets pass, so nothing "
                "was published:\n    " + "\n    ".join(map(described, stopping[:_SHOWN])),
                "Look for what changed in the input; if it is as it should be, raise `stop` there and run again.",
            )
        for measure in [measure for measure in measures if measure.level == "warn"][:_SHOWN]:
            warn(f"  {name}: {described(measure)}", table=name, **measure.model_dump())

    def keep(self, made: Published) -> None:
        """Keep the profile of what is about to be published, for the next night."""
        if self._profile is not None:
            write_text(self._place(made), self._profile.model_dump_json())

    def _place(self, table: Published | None) -> str:
        # Not by version: a merge of files makes a new one of the same rows.
        through = f"{table.through:%Y%m%dT%H%M%S}" if table and table.through else "none"
        return f"{self._folder}/{self._uri.rsplit('/', 1)[-1]}-{through}.json"


def described(measure: Measure) -> str:
    """A measure as a sentence."""
    unit = {"positive rate": " of the rate before", "mean": " standard deviations", "null share": ""}[measure.kind]
    return (
        f"{measure.kind} of {measure.column} in {measure.domain}: {measure.before:.4g} before, {measure.now:.4g} now "
        f"({measure.change:.2g}{unit} more than chance explains)"
    )
