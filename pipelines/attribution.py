"""From ``unified`` to labelled rows: ``zipped`` as of each row's own window, ``evaluation`` as of the longest one.

Labels become available as windows close. What becomes available in a span of time is added by the batch of that span,
and depends on nothing that happens later.
"""

from datetime import datetime, timedelta
from functools import reduce
from operator import or_

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pipelines.labels import immediate_label, night_after, outcomes, windowed_label
from pipelines.spans import EVER, Span
from pipelines.tables import leading
from schemas.duration import format_duration, microseconds
from schemas.space import ModelSpace

_SHOWN = ("impression_id", "domain", "user_id", "item_id", "impression_time", "window")


def available_outcomes(
    rows: DataFrame, feedback: DataFrame, space: ModelSpace, group: str, span: Span, part: Span = EVER
) -> DataFrame:
    """The feedback behind the labels that become available in a span; one row an impression and window that got any.

    ``impression_id``, ``domain``, ``impression_time``, ``window``, ``available_time``, ``assigned`` (whether the
    window is the Zipper's; otherwise it is the longest, of an evaluation row), ``arrival_<objective>``: when the first
    feedback that it is credited with was known, null if not by then.

    Args:
        rows: ``unified``, all that lie in the span or less than the longest window before it.
        feedback: all that arrived in the span or less than the longest window before it.
        part: impressions at other times are left out; what of ``rows`` and ``feedback`` lies outside its ``lookahead``
            does not matter then.
    """
    objectives = {name: space.objectives[name] for name in space.group_objectives(group)}
    assigned, judged = becomes_zipped(space, group, span), becomes_evaluated(space, group, span)
    shown = rows.select(*_SHOWN)
    concerned = (assigned | judged) & part.holds("impression_time")
    found = outcomes(shown.where(concerned), feedback, objectives, neighbours=shown).where(concerned)
    longest = _longest(space, group)
    pairs = F.array(
        F.when(assigned, _pair(F.col("window"), own_window_closes(space, group), True)),
        F.when(judged & ~F.col("window").eqNullSafe(longest), _pair(longest, _closed(space, group), False)),
    )
    each = (
        found.withColumn("_pair", F.explode(F.filter(pairs, lambda pair: pair.isNotNull())))
        .drop("window")
        .select("*", "_pair.*")
    )
    arrivals = {}
    for name, objective in objectives.items():
        arrival = F.col(f"arrival_{name}")
        in_time = arrival <= F.col("available_time") if objective.windows else arrival < night_after("available_time")
        arrivals[f"arrival_{name}"] = F.when(in_time, arrival)
    any_arrival = reduce(or_, (F.col(column).isNotNull() for column in arrivals))
    keys = ("impression_id", "domain", "impression_time", "window", "available_time", "assigned")
    return each.select(*keys, *(column.alias(name) for name, column in arrivals.items())).where(any_arrival)


def zipped(rows: DataFrame, found: DataFrame, space: ModelSpace, group: str, span: Span) -> DataFrame:
    """The unified rows whose window closes in a span, with ``available_time`` and the labels as of that window.

    Args:
        rows: ``unified``.
        found: ``available_outcomes`` of that span.
    """
    closed = rows.where(becomes_zipped(space, group, span)).withColumn(
        "available_time", own_window_closes(space, group)
    )
    labels = []
    for name in space.group_objectives(group):
        objective = space.objectives[name]
        if not objective.windows:
            labels.append(immediate_label(name, objective))
            continue
        label = F.lit(None).cast("float")
        for window in objective.windows:
            chosen = F.col("window") == format_duration(window)
            label = F.when(chosen, windowed_label(name, objective, window)).otherwise(label)
        labels.append(label.alias(f"label_{name}"))
    return _with_labels(closed, found.where("assigned"), rows.columns, ["available_time"], labels)


def evaluation(rows: DataFrame, found: DataFrame, space: ModelSpace, group: str, span: Span) -> DataFrame:
    """The unified rows of the evaluation ranges whose longest window closes in a span, with the oracle labels.

    ``split`` says which range; ``window`` is the longest, ``available_time`` when it closed. Arguments as of
    ``zipped``.
    """
    longest = _longest(space, group)
    held = rows.where(becomes_evaluated(space, group, span)).withColumns(
        {"split": _split(space), "window": longest, "available_time": _closed(space, group)}
    )
    labels = []
    for name in space.group_objectives(group):
        objective = space.objectives[name]
        if objective.oracle is None:
            labels.append(immediate_label(name, objective))
        else:
            labels.append(windowed_label(name, objective, objective.oracle))
    by_then = found.where(F.col("window").eqNullSafe(longest))
    return _with_labels(held, by_then, rows.columns, ["split", "available_time"], labels)


def longest_window(space: ModelSpace, group: str) -> timedelta:
    """How long after its impression the last label of a row becomes available."""
    windows = space.groups[group].windows
    return windows[-1] if windows else timedelta(0)


def lookahead(space: ModelSpace, group: str, part: Span) -> Span:
    """When all that decides the labels of a part's impressions has happened and arrived."""
    return Span(part.start, part.end and part.end + longest_window(space, group) + timedelta(days=1))


def _with_labels(
    rows: DataFrame, found: DataFrame, columns: list[str], added: list[str], labels: list[Column]
) -> DataFrame:
    arrivals = [column for column in found.columns if column.startswith("arrival_")]
    # One row an impression and window in the outcomes: the join keeps the number of rows.
    joined = rows.join(found.select("impression_id", *arrivals), on="impression_id", how="left")
    return leading(joined.select(*columns, *added, *labels), *_SHOWN, *added)


def _pair(window: Column, available: Column, assigned: bool) -> Column:
    return F.struct(
        window.alias("window"), available.alias("available_time"), F.lit(assigned).alias("assigned")
    )  # fmt: skip


def _longest(space: ModelSpace, group: str) -> Column:
    windows = space.groups[group].windows
    return F.lit(format_duration(windows[-1]) if windows else None).cast("string")


def _closed(space: ModelSpace, group: str) -> Column:
    """When the longest window closes."""
    windows = space.groups[group].windows
    return F.timestamp_micros(F.unix_micros("impression_time") + (microseconds(windows[-1]) if windows else 0))


def becomes_zipped(space: ModelSpace, group: str, span: Span) -> Column:
    """Whether the row's own window closes in the span: comparisons with constants, so that files can be skipped."""
    windows = space.groups[group].windows
    if not windows:
        return span.holds("impression_time")
    return reduce(
        or_,
        (
            (F.col("window") == format_duration(window)) & span.back(window).holds("impression_time")
            for window in windows
        ),
    )


def any_becomes_evaluated(space: ModelSpace, group: str, span: Span) -> bool:
    """Whether the span is one in which any impression of the evaluation ranges could become evaluated."""
    closing = span.back(longest_window(space, group))
    return any(not closing.meet(Span(*space.range_of(split))).empty for split in ("validation", "test"))


def becomes_evaluated(space: ModelSpace, group: str, span: Span) -> Column:
    """Whether the row is of an evaluation range, and its longest window closes in the span."""
    windows = space.groups[group].windows
    closing = span.back(windows[-1]) if windows else span
    return _split(space).isNotNull() & closing.holds("impression_time")


def own_window_closes(space: ModelSpace, group: str) -> Column:
    """When the row's own window closes: its ``available_time``."""
    available = F.col("impression_time")
    for window in space.groups[group].windows:
        end = F.timestamp_micros(F.unix_micros("impression_time") + microseconds(window))
        available = F.when(F.col("window") == format_duration(window), end).otherwise(available)
    return available


def _split(space: ModelSpace) -> Column:
    def within(bounds: tuple[datetime, datetime]) -> Column:
        return Span(*bounds).holds("impression_time")

    return F.when(within(space.range_of("validation")), "validation").when(within(space.range_of("test")), "test")
