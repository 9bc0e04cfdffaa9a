"""``lattice unify``: every impression with the features of all domains, of the effective selection if there is one.

Then a share of the users keeps every feature in ``pool``, so that what was dropped can be judged again.
"""

from collections.abc import Iterator

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs import options
from jobs.parts import parts
from jobs.stages import Context, Stage, stage_command
from jobs.target import Target
from pipelines.concatenation import KEYS, memory, unified
from pipelines.point_in_time import remembered
from pipelines.sampling import pooled
from pipelines.spans import Span
from pipelines.tables import leading, read_delta, require, write
from pipelines.zipper import group_window
from schemas.expectations import unified_suite
from schemas.space import ModelSpace


def past_of(uri: str) -> str:
    """Where what a table's features remember lies, beside the table."""
    folder, _, name = uri.rpartition("/")
    return f"{folder}/past" if name == "unified" else f"{folder}/past_{name}"


def _work(context: Context) -> None:
    target, space = context.target, context.target.space
    impressions = context.read(target.space_table("impressions"))
    members = impressions.where(impressions["domain"].isin(*space.group_domains(target.group)))
    _with_features(context, members, target.computed, target.group_table("unified"))
    if target.pool:
        _with_features(context, pooled(members, target.pool), space, target.group_table("pool"))


def _with_features(context: Context, members: DataFrame, space: ModelSpace, uri: str) -> None:
    """Publish impressions with every feature of the space."""
    target, place, pins = context.target, past_of(uri), dict[str, int]()
    events = {name: context.read(table) for name, table in target.event_tables.items()}
    attributes = {name: context.read(table) for name, table in target.attribute_tables.items()}

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
            windowed = group_window(unified(shown, known, attributes, space, part), space, target.group)
            # A reader of some days and windows then finds them together, and skips the rest.
            yield leading(windowed, *KEYS, "window").sortWithinPartitions(F.to_date("impression_time"), "window")
            # The first night that follows a build can still find out; a part cannot wait.
            if context.grow or part is not every[-1]:
                past = remember(known, part)

    suite = unified_suite(space, target.group)
    # So few users may well have seen nothing.
    wanted = suite if uri == target.group_table("unified") else [e for e in suite if e.kind != "not_empty"]
    context.publish(rows, uri, wanted, KEYS, pins=lambda: pins if context.grow else {})


def _tables(target: Target) -> list[str]:
    return [target.group_table(name) for name in ("unified", *(["pool"] if target.pool else []))]


STAGE = Stage(name="unify", title="point-in-time features", tables=_tables, work=_work)
unify = stage_command(STAGE)

if __name__ == "__main__":
    options.script(unify)
