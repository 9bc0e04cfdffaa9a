"""A version is published whole or not at all.

``publish`` writes a candidate version, has it checked, and only then names it in the table's properties, in one commit;
readers take the version that is named there, so a candidate that failed its checks, or whose writer was killed, is
never read. A failed candidate is undone, for readers from outside.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from deltalake import DeltaTable
from deltalake.exceptions import TableNotFoundError
from pyspark.sql import DataFrame, SparkSession

from pipelines.tables.few import FEW_BYTES, in_memory_rows
from pipelines.tables.listing import files
from pipelines.tables.reading import read_files
from pipelines.tables.uris import is_local, path_of
from pipelines.tables.versions import Published, name_version, noted, published
from pipelines.tables.writing import write
from schemas.forgetting import Removal
from schemas.quality import FEW


def publish(
    frames: DataFrame | Iterable[DataFrame],
    uri: str,
    *,
    fingerprint: str,
    check: Callable[[DataFrame, Published], DataFrame | None],
    options: Mapping[str, str] | None = None,
    append: bool = False,
    through: datetime | None = None,
    plan: str = "",
    pins: Callable[[], Mapping[str, int]] = dict,
    beside: Callable[[Published], None] = lambda _: None,
    run: str = "",
) -> Published:
    """Write ``frames`` as the next version of the table, check what was written, and publish it.

    Args:
        frames: the rows, in one or more parts (a table too large for one job is written in several); none if there is
            nothing to add to what is published.
        uri: the table's folder.
        fingerprint: identifies input, code and configuration; a later run with the same one may skip the work.
        check: takes the rows that were written, read back, and the candidate; raises if it must not be published. It
            may return the rows to be published in their place, which it is then given, too.
        options: of the Parquet writer, such as ``compression``.
        append: keep the rows that are published, if any are; otherwise the frames are the whole table.
        through, plan, pins, run: see ``Published``; the pins are asked for once everything is written.
        beside: writes what belongs to the candidate and lies beside the table (a manifest), before it is named.
    """
    before = published(uri)
    append = append and before is not None
    note, kept, evolved = f"run={run} {fingerprint}", set(), False
    if append and before is not None:
        evolved = before.evolved or before.plan != plan
        forget_orphans(before)
        kept = set(files(before))
    spark = None
    try:
        for number, frame in enumerate([frames] if isinstance(frames, DataFrame) else frames):
            write(frame, uri, append=append or number > 0, note=note, options=options)
            spark = frame.sparkSession
        made = Published(
            uri=uri,
            version=0,
            fingerprint=fingerprint,
            rows=0,
            through=through,
            plan=plan,
            pins=dict(pins()),
            run=run,
            evolved=evolved,
        )
        made = _as_written(made)
        if spark is not None:
            mended = check(_added(spark, made, kept, before.rows if append and before else 0), made)
            if mended is not None:
                if append:
                    _undo(uri, before)
                write(mended, uri, append=append, note=note, options=options)
                made = _as_written(made)
                check(_added(spark, made, kept, before.rows if append and before else 0), made)
        beside(made)
    except BaseException:
        _undo(uri, before)
        raise
    name_version(made)
    return made


def _as_written(made: Published) -> Published:
    """The candidate, as it is written now."""
    written = DeltaTable(made.uri)
    return replace(made, version=written.version(), rows=written.count())


def _added(spark: SparkSession, made: Published, kept: set[str], before: int) -> DataFrame:
    """The rows of a candidate that were not there before: few of them in memory."""
    added = [uri for uri in files(made) if uri not in kept]
    if not is_local(made.uri) or made.rows - before > FEW:
        return read_files(spark, made, kept)
    if sum(Path(path_of(path)).stat().st_size for path in added) > FEW_BYTES:
        return read_files(spark, made, kept)
    return in_memory_rows(spark, made, added)


def _undo(uri: str, before: Published | None) -> None:
    """Readers from outside see the last published rows again."""
    try:
        table = DeltaTable(uri)
    except TableNotFoundError:
        return
    if before is None:
        table.delete()
    elif table.version() > before.version + 1:
        # The commit after the version is the one that named it: its rows are the same, and it has the name.
        table.restore(before.version + 1)


def restore(uri: str, version: int, run: str) -> None:
    """Make the rows and properties of an earlier version those of the latest, in one commit."""
    DeltaTable(uri).restore(version, commit_properties=noted(run))


def restamp(table: Published, plan: str, run: str) -> None:
    """Publish the same rows as made under another plan: what that changed of the space file is none of theirs."""
    forget_orphans(table)
    DeltaTable(table.uri).alter.set_table_properties(
        {"lattice.plan": plan}, raise_if_not_exists=False, commit_properties=noted(run)
    )
    name_version(replace(table, version=DeltaTable(table.uri).version(), plan=plan, evolved=True, run=run))


def publish_without(uri: str, removal: Removal, run: str) -> None:
    """Publish the version that rows were taken out of, as the one before was, but for its pins.

    What a table remembers beside it remembers those rows, too.
    """
    before = published(uri)
    if before is not None:
        name_version(replace(before, version=removal.version, pins={}, run=run))


def forget_orphans(before: Published) -> None:
    """Take back what a killed run has written after the publication."""
    table = DeltaTable(before.uri)
    if table.version() > before.version + 1:
        table.restore(before.version + 1)
