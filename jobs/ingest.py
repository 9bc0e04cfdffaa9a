"""``lattice ingest``: raw tables to the space's impressions, feedback, events and attributes."""

from jobs import options
from jobs.stages import Context, Stage, stage_command
from jobs.target import Target
from pipelines.ingestion import all_feedback, all_impressions, check_feedback_follows
from pipelines.sampling import sample_tables
from pipelines.sources import read_source
from schemas.expectations import attributes_suite, events_suite, feedback_suite, impressions_suite


def _work(context: Context) -> None:
    target, space = context.target, context.target.space
    tables = read_source(context.spark, space, target.folder)
    if target.sample is not None:
        tables = sample_tables(tables, target.sample)
    for name, uri in target.attribute_tables.items():
        key = space.attributes[name].key
        context.publish(tables.attributes[name], uri, attributes_suite(key), [key])
    for name, uri in target.event_tables.items():
        context.publish(tables.events[name], uri, events_suite(), ["user_id", "item_id", "event_time"])
    impressions = all_impressions(tables.impressions, space)
    keys = ["domain", "source_key", "user_id", "item_id", "impression_time"]
    context.publish(impressions, target.space_table("impressions"), impressions_suite(space), keys)
    written = context.read(target.space_table("impressions"))
    context.publish(
        all_feedback(tables.feedback, written),
        target.space_table("feedback"),
        feedback_suite(space),
        ["objective", "user_id", "item_id", "feedback_time"],
        also=lambda feedback, _: check_feedback_follows(written, feedback),
    )


def _tables(target: Target) -> list[str]:
    named = [target.space_table("impressions"), target.space_table("feedback")]
    return [*named, *target.event_tables.values(), *target.attribute_tables.values()]


STAGE = Stage(name="ingest", title="raw tables to impressions and feedback", tables=_tables, work=_work)


ingest = stage_command(STAGE)

if __name__ == "__main__":
    options.script(ingest)
