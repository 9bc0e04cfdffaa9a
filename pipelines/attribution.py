"""``zipped`` and ``evaluation``: unified rows with the labels of one window (DESIGN, Contracts)."""

from datetime import date, datetime

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pipelines.labels import immediate_label, windowed_label
from pipelines.zipper import assign_window
from schemas.duration import format_duration, microseconds
from schemas.space import ModelSpace


def zipped(rows: DataFrame, outcomes: DataFrame, space: ModelSpace, group: str) -> DataFrame:
    """Each unified row once, with its ``window``, ``available_time`` and the labels as of that window.

    Holds the rows whose labels are available by the end of what was observed.
    """
    windows = space.groups[group].windows
    weights: dict[date | datetime, tuple[int, ...]] | None = {
        space.instant(w.start): w.values for w in space.groups[group].weights
    } or None
    assigned = assign_window(rows, windows, weights).withColumn("available_time", _available(space, group))
    end = max(space.objectives[name].observed.end for name in space.group_objectives(group))
    closed = assigned.where(F.col("available_time") < F.lit(end))
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
    return _with_labels(closed, outcomes, rows.columns, ["window", "available_time"], labels)


def evaluation(rows: DataFrame, outcomes: DataFrame, space: ModelSpace, group: str) -> DataFrame:
    """The unified rows of the evaluation ranges whose longest window has closed, with every objective's oracle label.

    ``split`` says which range; ``window`` is the longest, ``available_time`` when it closed.
    """
    windows = space.groups[group].windows
    longest = F.lit(format_duration(windows[-1]) if windows else None).cast("string")
    length = microseconds(windows[-1]) if windows else 0
    available = F.timestamp_micros(F.unix_micros("impression_time") + length)
    held = rows.withColumns({"split": _split(space), "window": longest, "available_time": available})
    end = max(space.objectives[name].observed.end for name in space.group_objectives(group))
    held = held.where(F.col("split").isNotNull() & (F.col("available_time") < F.lit(end)))
    labels = []
    for name in space.group_objectives(group):
        objective = space.objectives[name]
        if objective.oracle is None:
            labels.append(immediate_label(name, objective))
        else:
            labels.append(windowed_label(name, objective, objective.oracle))
    return _with_labels(held, outcomes, rows.columns, ["split", "window", "available_time"], labels)


def _with_labels(
    rows: DataFrame, outcomes: DataFrame, columns: list[str], added: list[str], labels: list[Column]
) -> DataFrame:
    # One row an impression in outcomes: the join keeps the number of rows.
    return rows.join(outcomes, on="impression_id", how="left").select(*columns, *added, *labels)


def _available(space: ModelSpace, group: str) -> Column:
    available = F.col("impression_time")
    for window in space.groups[group].windows:
        end = F.timestamp_micros(F.unix_micros("impression_time") + microseconds(window))
        available = F.when(F.col("window") == format_duration(window), end).otherwise(available)
    return available


def _split(space: ModelSpace) -> Column:
    def within(bounds: tuple[datetime, datetime]) -> Column:
        return (F.col("impression_time") >= F.lit(bounds[0])) & (F.col("impression_time") < F.lit(bounds[1]))

    return F.when(within(space.range_of("validation")), "validation").when(within(space.range_of("test")), "test")
