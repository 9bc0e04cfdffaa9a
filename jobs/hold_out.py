"""``lattice hold-out``: the evaluation rows with their oracle labels, laid out for Petastorm."""

from jobs import options
from jobs.stages import Context, Stage, stage_command
from pipelines.attribution import evaluation
from pipelines.concatenation import KEYS
from pipelines.layout import PARQUET_OPTIONS, file_count, packed
from pipelines.tables import require
from schemas.expectations import evaluation_suite


def _work(context: Context) -> None:
    target, space = context.target, context.target.space
    rows = context.read(target.group_table("unified"))
    held = evaluation(rows, context.read(target.group_table("outcomes")), space, target.group)
    files = file_count(require(target.group_table("unified"), "lattice unify").rows)
    laid_out = packed(held, space, target.group, files)
    suite = evaluation_suite(space, target.group)
    context.publish(laid_out, target.group_table("evaluation"), suite, KEYS, PARQUET_OPTIONS)


STAGE = Stage(
    name="hold-out",
    title="evaluation rows with oracle labels",
    tables=lambda target: [target.group_table("evaluation")],
    work=_work,
)
hold_out = stage_command(STAGE)

if __name__ == "__main__":
    options.script(hold_out)
