"""``lattice unify``: every impression with the features of all domains, of the effective selection if there is one.

Then a share of the users keeps every feature in ``pool``, so that what was dropped can be judged again.
"""

from collections.abc import Callable, Iterator, Sequence

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs import options
from jobs.context import Context
from jobs.drifting import DriftWatch
from jobs.parts import parts
from jobs.stages import Stage, stage_command
from jobs.target import REMEMBERED, Target
from pipelines.concatenation import KEYS, memory, unified
from pipelines.event_memory import remembered, touched
from pipelines.privacy import side_keys
from pipelines.sampling import pooled
from pipelines.spans import Span
from pipelines.tables import leading, read_delta, require, write
from pipelines.zipper import group_window
from schemas.expectations import unified_suite
from schemas.features import categorical_columns, dense_columns
from schemas.space import ModelSpace


def _work(context: Context) -> None:
    target, space = context.target, context.target.space
    domains = space.group_domains(target.group)
    for uri in (target.space_table("impressions"), *target.event_tables.values()):
        context.reach(uri)

    def members(column: str | None = None, spans: Sequence[Span] = ()) -> DataFrame:
        return context.read(target.space_table("impressions"), column, spans).where(F.col("domain").isin(*domains))

    _with_features(context, members, target.computed, target.group_table("unified"))
    if target.pool:
        share = target.pool
        _with_features(context, lambda *of: pooled(members(*of), share), space, target.group_table("pool"))


def _with_features(context: Context, members: Callable[..., DataFrame], space: ModelSpace, uri: str) -> None:
    """Publish impressions with every feature of the space; what these remember is pinned, by its table's name."""
    target, pins, keys = context.target, dict[str, int](), side_keys(space, context.target.group)
    past_name = REMEMBERED[uri.rsplit("/", 1)[-1]]
    place = target.group_table(past_name)
    attributes = {name: context.read_small(table) for name, table in target.attribute_tables.items()}

    def recalled(span: Span, past: DataFrame | None = None) -> DataFrame:
        events = {
            name: context.read(table, "arrival_time", touched(space, name, span))
            for name, table in target.event_tables.items()
        }
        return memory(events, attributes, space, span, past)

    def remember(known: DataFrame, span: Span) -> DataFrame:
        """Write what the features remember at the end of a span, beside the table, to be pinned by it."""
        pins[past_name] = write(
            remembered(known, space, span), place, append=False, note=f"run={context.run.id} {context.fingerprint}"
        )
        return read_delta(context.spark, place, pins[past_name])

    def rows(span: Span) -> Iterator[DataFrame]:
        past = None
        if span.start is not None:
            published = require(uri, "lattice build")
            # Under another space file something else is remembered: it is gathered again from all events.
            pinned = published.pins.get(past_name) if published.plan == target.table_plan(uri) else None
            before = Span(None, span.start)
            past = remember(recalled(before), before) if pinned is None else read_delta(context.spark, place, pinned)
        every = parts(members, span)
        for part in every:
            known = recalled(part, past)
            if span.start is not None:  # read once, not for each kind of owner
                known = known.localCheckpoint()
            shown = members("impression_time", [part])
            windowed = group_window(unified(shown, known, attributes, space, part, keys), space, target.group)
            # A reader of some days and windows then finds them together, and skips the rest.
            yield leading(windowed, *KEYS, "window").sortWithinPartitions(F.to_date("impression_time"), "window")
            # The first night that follows a build can still find out; a part cannot wait.
            if context.grow or part is not every[-1]:
                past = remember(known, part)

    suite = unified_suite(space, target.group)
    if uri == target.group_table("pool"):  # so few users may well have seen nothing
        suite = [expectation for expectation in suite if expectation.kind != "not_empty"]
    numbers, ids = [f.name for f in dense_columns(space)], [f.name for f in categorical_columns(space)]
    drift = DriftWatch(context, uri, numbers, ids)
    context.publish(
        rows, uri, suite, KEYS, also=drift.look, pins=lambda: pins if context.grow else {}, beside=drift.keep
    )


def _tables(target: Target) -> list[str]:
    return [target.group_table(name) for name in ("unified", *(["pool"] if target.pool else []))]


STAGE = Stage(name="unify", title="point-in-time features", tables=_tables, work=_work)
unify = stage_command(STAGE)

if __name__ == "__main__":
    options.script(unify)
