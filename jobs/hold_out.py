"""``lattice hold-out``: the evaluation rows with their oracle labels, laid out for Petastorm."""

from collections.abc import Iterator

from pyspark.sql import DataFrame

from jobs import options
from jobs.context import Context
from jobs.parts import parts
from jobs.stages import Stage, stage_command
from pipelines.attribution import any_becomes_evaluated, becomes_evaluated, evaluation, longest_window
from pipelines.concatenation import KEYS
from pipelines.layout import PARQUET_OPTIONS, file_count, packed
from pipelines.spans import EVER, Span
from schemas.expectations import evaluation_suite


def _work(context: Context) -> None:
    target, space, group = context.target, context.target.space, context.target.group
    unified, outcomes = target.group_table("unified"), target.group_table("outcomes")
    for uri in (unified, outcomes):
        context.reach(uri)

    def held(span: Span) -> Iterator[DataFrame]:
        if span.start is not None and not any_becomes_evaluated(space, group, span):
            return
        known = context.read(outcomes, "available_time", [span])

        def shown(part: Span) -> DataFrame:
            rows = context.read_features(unified, "impression_time", [part])
            return rows.where(becomes_evaluated(space, group, span))

        for part in parts(lambda: shown(EVER), span, longest_window(space, group)):
            rows = shown(part)
            labelled = evaluation(rows, known.where(part.holds("impression_time")), space, group, span)
            yield packed(labelled, target.evaluated, group, file_count(rows.count()))

    suite = evaluation_suite(space, group)
    context.publish(held, target.group_table("evaluation"), suite, KEYS, PARQUET_OPTIONS, one_form=True)


STAGE = Stage(
    name="hold-out",
    title="evaluation rows with oracle labels",
    tables=lambda target: [target.group_table("evaluation")],
    work=_work,
)
hold_out = stage_command(STAGE)

if __name__ == "__main__":
    options.script(hold_out)
