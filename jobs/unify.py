"""``lattice unify``: every impression with the features of all domains."""

from collections.abc import Iterator

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs import options
from jobs.parts import parts
from jobs.stages import Context, Stage, stage_command
from pipelines.concatenation import KEYS, memory, unified
from pipelines.point_in_time import remembered
from pipelines.privacy import side_keys
from pipelines.spans import Span
from pipelines.tables import leading, read_delta, require, write
from pipelines.zipper import group_window
from schemas.expectations import unified_suite


def _work(context: Context) -> None:
    target, space = context.target, context.target.space
    impressions = context.read(target.space_table("impressions"))
    members = impressions.where(impressions["domain"].isin(*space.group_domains(target.group)))
    events = {name: context.read(uri) for name, uri in target.event_tables.items()}
    attributes = {name: context.read(uri) for name, uri in target.attribute_tables.items()}
    keys = side_keys(space, target.group)
    uri, place, pins = target.group_table("unified"), target.group_table("past"), dict[str, int]()

    def remember(known: DataFrame, span: Span) -> DataFrame:
        """Write what the features remember at the end of a span, beside the table, to be pinned by it."""
        pins["past"] = write(remembered(known, space, span), place, append=False, note=context.fingerprint)
        return read_delta(context.spark, place, pins["past"])

    def rows(span: Span) -> Iterator[DataFrame]:
        past = None
        if span.start is not None:
            pinned = require(uri, "lattice build").pins.get("past")
            before = Span(None, span.start)
            past = (
                remember(memory(events, attributes, space, before), before)
                if pinned is None
                else read_delta(context.spark, place, pinned)
            )
        every = parts(members, span)
        for part in every:
            known = memory(events, attributes, space, part, past)
            shown = members.where(part.holds("impression_time"))
            windowed = group_window(unified(shown, known, attributes, space, part, keys), space, target.group)
            # A reader of some days and windows then finds them together, and skips the rest.
            yield leading(windowed, *KEYS, "window").sortWithinPartitions(F.to_date("impression_time"), "window")
            # The first night that follows a build can still find out; a part cannot wait.
            if context.grow or part is not every[-1]:
                past = remember(known, part)

    suite = unified_suite(space, target.group)
    context.publish(rows, uri, suite, KEYS, pins=lambda: pins if context.grow else {})


STAGE = Stage(
    name="unify", title="point-in-time features", tables=lambda target: [target.group_table("unified")], work=_work
)
unify = stage_command(STAGE)

if __name__ == "__main__":
    options.script(unify)
