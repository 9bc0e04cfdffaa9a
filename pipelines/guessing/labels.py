"""Answers in the impressions' own rows, such as a column ``clicked``: they must become a table of feedback."""

import json
import shlex
from dataclasses import dataclass
from math import ceil

import pyarrow.compute as pc

from pipelines.guessing.columns import Column
from pipelines.guessing.names import FEEDBACK, plain, says
from pipelines.guessing.tables import Log

_STARS = 11
"""A rating has at most so many different values."""
ROW_KEY = "source_key"
"""The column that a table without a key of its own is given."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Label:
    """A column of impressions, from which value on it is a positive answer, and the files that say so apart."""

    log: Log
    column: Column
    least: float

    @property
    def name(self) -> str:
        return plain(self.column.name, "label")

    @property
    def key(self) -> str:
        """The column that ties both tables."""
        return self.log.key.name if self.log.key is not None else ROW_KEY

    @property
    def ending(self) -> str:
        """Of the files to write: CSV stays CSV."""
        return "csv" if self.log.sample.format == "csv" else "parquet"

    @property
    def impressions_path(self) -> str:
        """A table of the same rows with a key; empty if it has one already."""
        return "" if self.log.key is not None else f"{self.log.name}_keyed.{self.ending}"

    @property
    def feedback_path(self) -> str:
        return f"{self.log.name}_{self.name}.{self.ending}"

    def command(self, path: str) -> str:
        """A line of shell that reads the table at ``path`` and writes those files beside the space file."""
        text = json.dumps
        if self.log.sample.format == "delta":
            reads = f"from deltalake import DeltaTable; t = pd.read_parquet(DeltaTable({text(path)}).file_uris())"
        elif self.ending == "csv":
            apart = self.log.sample.separator
            sep = "" if apart == "," else f", sep={text(apart)}"
            reads = f"t = pd.read_csv({text(path)}, dtype=str, keep_default_na=False{sep})"
        elif self.log.sample.format == "json":
            reads = f"t = pd.read_json({text(path)}, lines=True, dtype=False, convert_dates=False)"
        else:
            reads = f"t = pd.read_parquet({text(path)})"
        writes = "to_csv({}, index=False)" if self.ending == "csv" else 'to_parquet({}, coerce_timestamps="us")'
        steps = ["import pandas as pd", reads]
        if self.impressions_path:
            steps += [f"t[{text(ROW_KEY)}] = range(len(t))", f"t.{writes.format(text(self.impressions_path))}"]
        positive = f"pd.to_numeric(t[{text(self.column.name)}]) >= {self.least:g}"
        steps.append(f"t[{positive}].{writes.format(text(self.feedback_path))}")
        return "python -c " + shlex.quote("; ".join(steps))


def labels(log: Log) -> list[Label]:
    """The columns of 0 and 1, or of ratings, whose name says that they are an answer."""
    found = []
    for column in log.others:
        if column.zero_one and says(column.name, FEEDBACK):
            found.append(Label(log=log, column=column, least=1))
        elif column.type in ("long", "double") and says(column.name, ("rating", "rated", "star", "score")):
            greatest = pc.max(column.values).as_py()
            if 2 < column.distinct <= _STARS and greatest > 0:
                found.append(Label(log=log, column=column, least=ceil(0.8 * greatest)))
    return found


def is_answer(column: Column) -> bool:
    """Whether an impression's column is known only after the impression, as far as its name says."""
    return says(column.name, FEEDBACK)
