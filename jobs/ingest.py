"""``lattice ingest``: raw tables to the space's impressions, feedback, events and attributes."""

from collections.abc import Callable
from functools import reduce

from pyspark.sql import DataFrame

from jobs import options
from jobs.context import Context
from jobs.missing import count_missing, look_back
from jobs.stages import Stage, stage_command
from jobs.target import Target
from pipelines.ids import digest
from pipelines.ingestion import all_feedback, all_impressions, answerable, check_feedback_follows
from pipelines.late import late_impressions, on_time
from pipelines.sampling import sample_tables
from pipelines.sources import may_add_to_the_past, read_source
from pipelines.spans import EVER, Span
from pipelines.tables import published
from schemas.expectations import attributes_suite, events_suite, feedback_suite, impressions_suite, late_suite


def _work(context: Context) -> None:
    target, space = context.target, context.target.space
    span, watched = _lacking(context), may_add_to_the_past(space)
    tables = read_source(context.spark, space, target.folder, look_back(span) if watched else span, target.sample)
    if target.sample is not None:
        tables = sample_tables(tables, target.sample)
    shown = all_impressions(tables.impressions, space)
    if watched:
        raw = {uri: tables.events[name] for name, uri in target.event_tables.items()}
        raw[target.space_table("impressions")] = shown.where(on_time(shown))
        raw[target.space_table("feedback")] = reduce(
            DataFrame.union, (f.select("arrival_time") for f in tables.feedback.values())
        )
        count_missing(context, raw, span)
    for name, uri in target.attribute_tables.items():
        key, facts = space.attributes[name].key, tables.attributes[name]
        if not (context.grow and _unchanged(context, uri, facts)):
            context.replace(facts, uri, attributes_suite(key), [key])
    for name, uri in target.event_tables.items():
        keys = ["user_id", "item_id", "event_time"]
        context.publish(_arriving(tables.events[name]), uri, events_suite(), keys, raw=True)
    keys = ["domain", "source_key", "user_id", "item_id", "impression_time"]
    suite = impressions_suite(space)
    context.publish(_arriving(shown.where(on_time(shown))), target.space_table("impressions"), suite, keys, raw=True)
    late = late_impressions(shown.limit(0) if tables.on_time else shown)
    context.publish(
        lambda span: [] if tables.on_time and span.start is not None else late.where(span.holds("arrival_time")),
        target.space_table("late_impressions"),
        late_suite(),
        keys,
    )
    impressions = target.space_table("impressions")
    context.publish(
        lambda span: all_feedback(
            tables.feedback, context.read(impressions, "impression_time", [answerable(space, span)]), space, span
        ),
        target.space_table("feedback"),
        feedback_suite(space),
        ["objective", "user_id", "item_id", "feedback_time"],
        also=lambda added, _: None if context.grow else check_feedback_follows(context.read(impressions), added),
        raw=True,
    )


def _lacking(context: Context) -> Span:
    """The span that some table lacks."""
    spans = [
        context.lacking(uri) for uri in _tables(context.target) if uri not in context.target.attribute_tables.values()
    ]
    starts = [span.start for span in spans if span.start is not None]
    if not context.grow:
        return EVER
    return Span(min(starts) if len(starts) == len(spans) else None, context.through)


def _unchanged(context: Context, uri: str, facts: DataFrame) -> bool:
    """Whether a table of attributes is published and still holds just that (attributes have no time of their own)."""
    return published(uri) is not None and digest(facts) == digest(context.read_small(uri))


def _arriving(frame: DataFrame) -> Callable[[Span], DataFrame]:
    return lambda span: frame.where(span.holds("arrival_time"))


def _tables(target: Target) -> list[str]:
    named = [target.space_table(name) for name in ("impressions", "late_impressions", "feedback")]
    return [*named, *target.event_tables.values(), *target.attribute_tables.values()]


STAGE = Stage(name="ingest", title="raw tables to impressions and feedback", tables=_tables, work=_work)


ingest = stage_command(STAGE)

if __name__ == "__main__":
    options.script(ingest)
