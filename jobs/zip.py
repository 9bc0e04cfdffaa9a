"""``lattice zip``: one attribution window an impression, and its labels as of that window."""

from collections.abc import Iterator
from datetime import UTC

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs import options
from jobs.context import Context
from jobs.drifting import DriftWatch
from jobs.parts import parts
from jobs.stages import Stage, stage_command
from pipelines.attribution import available_outcomes, longest_window, lookahead, zipped
from pipelines.concatenation import KEYS
from pipelines.late import is_delayed, late_feedback
from pipelines.privacy import creditable, side_keys
from pipelines.spans import Span
from schemas.expectations import late_suite, outcomes_suite, zipped_suite


def _work(context: Context) -> None:
    target, space, group = context.target, context.target.space, context.target.group
    unified, keys_ = target.group_table("unified"), side_keys(space, group)
    for uri in (unified, target.space_table("feedback")):
        context.reach(uri)

    def rows() -> DataFrame:
        return context.read_features(unified)

    def shown_in(span: Span) -> DataFrame:
        return context.read_features(unified, "impression_time", [span])

    def arrived_in(span: Span) -> DataFrame:
        return creditable(context.read(target.space_table("feedback"), "arrival_time", [span]), space, group, keys_)

    back, ended = longest_window(space, group), Span(None, context.through)

    def found(span: Span) -> Iterator[DataFrame]:
        for part in parts(rows, span, back):
            near = lookahead(space, group, part).meet(ended)
            yield available_outcomes(shown_in(near), arrived_in(near), space, group, span, part)

    # Published first: of a written table Spark knows the size, and need not shuffle the wide rows to join a small one.
    outcomes = target.group_table("outcomes")
    context.publish(found, outcomes, outcomes_suite(), ["impression_id", "window"])

    def labelled(span: Span) -> Iterator[DataFrame]:
        known = context.read(outcomes, "available_time", [span])
        for part in parts(rows, span, back):
            found_inside = known.where(part.holds("impression_time"))
            yield zipped(shown_in(part), found_inside, space, group, span)

    uri = target.group_table("zipped")
    drift = DriftWatch(context, uri, [f"label_{name}" for name in space.group_objectives(group)])
    context.publish(labelled, uri, zipped_suite(space, group), KEYS, also=drift.look, beside=drift.keep)

    def missed(span: Span) -> Iterator[DataFrame]:
        feedback = arrived_in(span)
        first = feedback.where(is_delayed()).agg(F.min("feedback_time")).collect()[0][0]
        if first is not None or span.start is None:
            since = Span(first and first.replace(tzinfo=UTC) - back, context.through)
            yield late_feedback(shown_in(since), feedback, space, group, span)

    keys = ["objective", "user_id", "item_id", "time"]
    context.publish(missed, target.group_table("late_feedback"), late_suite(), keys)


STAGE = Stage(
    name="zip",
    title="attribution windows and labels",
    tables=lambda target: [target.group_table(name) for name in ("outcomes", "zipped", "late_feedback")],
    work=_work,
)
zip_windows = stage_command(STAGE)

if __name__ == "__main__":
    options.script(zip_windows)
