"""``lattice unify``: every impression with the features of all domains."""

from jobs import options
from jobs.stages import Context, Stage, stage_command
from pipelines.concatenation import KEYS, unified
from schemas.expectations import unified_suite


def _work(context: Context) -> None:
    target, space = context.target, context.target.space
    impressions = context.read(target.space_table("impressions"))
    members = impressions.where(impressions["domain"].isin(*space.group_domains(target.group)))
    events = {name: context.read(uri) for name, uri in target.event_tables.items()}
    attributes = {name: context.read(uri) for name, uri in target.attribute_tables.items()}
    rows = unified(members, events, attributes, space)
    context.publish(rows, target.group_table("unified"), unified_suite(space, target.group), KEYS)


STAGE = Stage(
    name="unify", title="point-in-time features", tables=lambda target: [target.group_table("unified")], work=_work
)
unify = stage_command(STAGE)

if __name__ == "__main__":
    options.script(unify)
