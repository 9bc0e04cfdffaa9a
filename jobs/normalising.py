"""Normalisers of a training table: a night adds its own rows to the sample that they are fitted to."""

from collections.abc import Sequence

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.context import Context
from pipelines.normalisers import AT_ONCE, available_before, fit_normalisers, fitted_to, resampled, sampled
from pipelines.tables import Published, published, read, removed
from pipelines.warehouse import list_files, read_arrow, remove, write_arrow
from schemas.manifest import DenseInput, Normaliser, Split

_REMOVED = b"lattice.removed"


class Fitting:
    """Fits the normalisers of each split that is not ``known``.

    The sample lies beside the table until no night can change a normaliser any more; so a night need not read all rows
    again. Where it is missing, it is gathered.
    """

    def __init__(
        self,
        context: Context,
        uri: str,
        dense: tuple[DenseInput, ...],
        known: dict[Split, dict[str, Normaliser]],
        splits: Sequence[Split],
    ) -> None:
        self._context, self._dense, self._known, self._splits = context, dense, known, splits
        self._before = published(uri) if context.grow else None
        self._folder = context.target.group_table("samples")
        self._added: DataFrame | None = None

    def look(self, rows: DataFrame, _: int) -> None:
        """Take note of the rows that the table gains."""
        self._added = rows

    def fitted(self, made: Published) -> dict[Split, dict[str, Normaliser]]:
        """The normalisers of a candidate."""
        target, space, found = self._context.target, self._context.target.space, dict(self._known)
        domains, lacking = space.group_domains(target.group), [name for name in self._splits if name not in found]
        if self._context.grow and lacking and len(self._dense) <= AT_ONCE:
            sample = self._sample(made)
            write_arrow(self._place(made), sample)
            for split in lacking:
                found[split] = fitted_to(available_before(sample, space.cut(split)), self._dense, domains)
        else:
            rows = read(self._context.spark, made) if lacking else None
            for split in lacking:
                assert rows is not None
                before = rows.where(F.col("available_time") < F.lit(space.cut(split)))
                found[split] = fit_normalisers(before, made.rows, self._dense, domains)
        kept = {self._place(made), self._place(self._before)} if lacking else set()
        for uri in list_files(self._folder):
            if uri not in kept:
                remove(uri)
        return found

    def _sample(self, made: Published) -> pa.Table:
        noted = {_REMOVED: (removed(made.uri) or "").encode()}
        before = self._kept()
        if before is None or before.schema.metadata != noted:
            return sampled(read(self._context.spark, made), made.rows, self._dense).replace_schema_metadata(noted)
        sample = resampled(before, made.rows)
        if self._added is None:
            return sample
        added = sampled(self._added, made.rows, self._dense).cast(sample.schema)
        return pa.concat_tables([sample, added]).combine_chunks()

    def _kept(self) -> pa.Table | None:
        """The sample of what is published; None if there is none of the same features."""
        before = self._before
        if before is None or before.plan != self._context.target.group_plan:
            return None
        if self._place(before) not in list_files(self._folder):
            return None
        return read_arrow(self._place(before))

    def _place(self, table: Published | None) -> str:
        # Not by version: a merge of files makes a new one of the same rows.
        through = f"{table.through:%Y%m%dT%H%M%S}" if table and table.through else "none"
        return f"{self._folder}/training-{through}.arrow"
