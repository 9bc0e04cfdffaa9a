"""``lattice zip``: one attribution window an impression, and its labels as of that window."""

from jobs import options
from jobs.stages import Context, Stage, stage_command
from pipelines.attribution import zipped
from pipelines.concatenation import KEYS
from pipelines.labels import outcomes
from schemas.expectations import outcomes_suite, zipped_suite


def _work(context: Context) -> None:
    target, space = context.target, context.target.space
    objectives = {name: space.objectives[name] for name in space.group_objectives(target.group)}
    rows = context.read(target.group_table("unified"))
    found = outcomes(rows, context.read(target.space_table("feedback")), objectives)
    # Published first: of a written table Spark knows the size, and need not shuffle the wide rows to join a small one.
    context.publish(found, target.group_table("outcomes"), outcomes_suite(), ["impression_id"])
    labelled = zipped(rows, context.read(target.group_table("outcomes")), space, target.group)
    context.publish(labelled, target.group_table("zipped"), zipped_suite(space, target.group), KEYS)


STAGE = Stage(
    name="zip",
    title="attribution windows and labels",
    tables=lambda target: [target.group_table("outcomes"), target.group_table("zipped")],
    work=_work,
)
zip_windows = stage_command(STAGE)

if __name__ == "__main__":
    options.script(zip_windows)
