"""The one module that reads and writes Delta tables.

A version is published whole or not at all. ``publish`` writes a candidate version, has it checked, and only then names
it in the table's properties, in one commit; readers take the version that is named there, so a candidate that failed
its checks, or whose writer was killed, is never read. A failed candidate is undone, for readers from outside.
"""

import json
import operator
import posixpath
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache, reduce
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from delta.tables import DeltaTable as SparkTable
from deltalake import ColumnProperties, CommitProperties, DeltaTable, Field, WriterProperties
from deltalake.exceptions import DeltaError, TableNotFoundError
from deltalake.schema import PrimitiveType
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import BinaryType, DoubleType, FloatType, StructType

from pipelines.session import in_memory
from pipelines.spans import Span
from schemas.errors import LatticeError
from schemas.forgetting import Removal
from schemas.quality import FEW

Filter = list[tuple[str, str, Any]]
_FEW_BYTES = 32 * 1024 * 1024
_PUBLISHED, _FINGERPRINT, _DETAILS = "lattice.published", "lattice.fingerprint", "lattice.details"
_REMOVED = "lattice.removed"


@dataclass(frozen=True, kw_only=True)
class Published:
    """The version of a table that readers may take, and what it was made of."""

    uri: str
    version: int
    fingerprint: str
    rows: int
    through: datetime | None = None
    """It holds what was available before this instant (with a zone); None if it does not grow by time."""
    plan: str = ""
    """The fingerprint of the space and sample that rows may be appended under."""
    pins: Mapping[str, int] = field(default_factory=dict)
    """Versions of other tables that belong to this one."""
    run: str = ""
    """The run that published it."""
    evolved: bool = False
    """Whether some of its rows were made under another plan."""


def published(uri: str) -> Published | None:
    """What is published at ``uri``; None if nothing is. Needs no Spark."""
    try:
        table = DeltaTable(uri)
    except TableNotFoundError:
        return None
    properties = table.metadata().configuration
    return _of_properties(uri, properties) if _PUBLISHED in properties else None


def _of_properties(uri: str, properties: Mapping[str, str]) -> Published:
    version = int(properties[_PUBLISHED])
    details = json.loads(properties.get(_DETAILS, "{}"))
    through = details.pop("through", None)
    return Published(
        uri=uri,
        version=version,
        fingerprint=properties[_FINGERPRINT],
        rows=_at(uri, version).count(),
        through=through and datetime.fromisoformat(through),
        **details,
    )


def _at(uri: str, version: int) -> DeltaTable:
    """A version of a table, to be read: it never changes, so that its log is read once.

    A table that was deleted and made anew has other files of the log.
    """
    if not is_local(uri):
        return DeltaTable(uri, version=version)
    try:
        commit = Path(_path(uri), "_delta_log", f"{version:020}.json").stat()
    except FileNotFoundError:
        return DeltaTable(uri, version=version)
    return _opened(uri, version, (commit.st_ino, commit.st_mtime_ns))


@lru_cache(maxsize=256)
def _opened(uri: str, version: int, _commit: tuple[int, int]) -> DeltaTable:
    return DeltaTable(uri, version=version)


def published_at(uri: str, version: int) -> Published:
    """What was published when that version was.

    Raises:
        LatticeError: the table does not remember it.
    """
    try:
        properties = _at(uri, version + 1).metadata().configuration
    except DeltaError as error:
        remedy = "Give a later one, or build anew."
        raise LatticeError(uri, f"Version {version} is no longer in the table's log.", remedy) from error
    return _of_properties(uri, properties)


def removed(uri: str) -> Removal | None:
    """What the table noted when users were last taken out of it; None if none ever were, or there is no table."""
    try:
        noted = DeltaTable(uri).metadata().configuration.get(_REMOVED)
    except TableNotFoundError:
        return None
    return None if noted is None else Removal.model_validate_json(noted)


def restore(uri: str, version: int, run: str) -> None:
    """Make the rows and properties of an earlier version those of the latest, in one commit."""
    DeltaTable(uri).restore(version, commit_properties=_noted(run))


def require(uri: str, made_by: str) -> Published:
    """What is published at ``uri``.

    Raises:
        LatticeError: nothing is; ``made_by`` is the command that makes it.
    """
    found = published(uri)
    if found is None:
        raise LatticeError(uri, "No version of this table is published.", f"Run `{made_by}` first.")
    return found


def read(spark: SparkSession, table: Published) -> DataFrame:
    """The rows of a published version."""
    # The commit that names a version has the same rows. As the table's latest version Spark keeps it at hand; any
    # other, and so the one before it, it puts together from the log again for each query.
    latest = DeltaTable(table.uri)
    named = table.version + 1
    if latest.version() != named or latest.metadata().configuration.get(_PUBLISHED) != str(table.version):
        return read_delta(spark, table.uri, table.version)
    read_delta(spark, table.uri)
    return read_delta(spark, table.uri, named)


def read_files(spark: SparkSession, table: Published, but: Collection[str] = ()) -> DataFrame:
    """The rows of a version straight from its Parquet files, ``but`` for some of them.

    Delta's own planning of a query takes time in the square of the table's columns, seconds where there are thousands;
    who reads all rows needs nothing of what it does.
    """
    schema = _spark_schema(table)
    wanted = [uri for uri in files(table) if uri not in but]
    if not wanted:
        return spark.createDataFrame([], schema)
    if not is_local(table.uri):
        # Named as the table is: another library may write the scheme of an object store in another way.
        root = _at(table.uri, table.version).table_uri
        wanted = [join_uri(table.uri, path[len(root) :].lstrip("/")) for path in wanted]
    return spark.read.schema(schema).parquet(*wanted)


def read_rows(table: Published, columns: list[str] | None = None, where: Filter | None = None) -> pa.Table:
    """Rows of a published version of a small table, without Spark.

    Args:
        columns: which; None for all.
        where: (column, ``=``, value) each, all of which hold.
    """
    with _sound(table.uri):
        rows: pa.Table = _at(table.uri, table.version).to_pyarrow_table(columns=columns, filters=where)
    return rows


def holding(table: Published, column: str | None = None, spans: Sequence[Span] = ()) -> tuple[list[str], int, int]:
    """The Parquet files of a published version with any row whose time lies in one of the spans; their rows and bytes.

    By Delta's least and greatest values, as far as the table has them; ``column`` None: every file.
    """
    version = _at(table.uri, table.version)
    actions = pa.table(version.get_add_actions(flatten=True))
    least, most = f"min.{column}", f"max.{column}"
    if least in actions.column_names:
        # Delta writes whole milliseconds.
        latest = pc.add(actions[most], pa.scalar(timedelta(milliseconds=1)))
        touched = pa.array([False] * actions.num_rows, pa.bool_())
        for span in spans:
            inside = pa.array([True] * actions.num_rows, pa.bool_())
            if span.start is not None:
                inside = pc.and_kleene(inside, pc.greater_equal(latest, span.start))
            if span.end is not None:
                inside = pc.and_kleene(inside, pc.less(actions[least], span.end))
            touched = pc.or_kleene(touched, inside)
        # Unknown is not outside.
        actions = actions.filter(pc.fill_null(touched, True))
    root = version.table_uri.rstrip("/")
    paths = [f"{root}/{path}" for path in actions["path"].to_pylist()]
    rows, size = (sum(actions[name].to_pylist()) for name in ("num_records", "size_bytes"))
    return paths, rows, size


def read_few(
    spark: SparkSession, table: Published, column: str | None = None, spans: Sequence[Span] = ()
) -> DataFrame | None:
    """Rows of a published version, all whose time lies in one of the spans, in memory; None if that may be too many.

    Spark runs no job for it, where for Delta's log, statistics and files it runs several.
    """
    if not is_local(table.uri):
        return None
    paths, rows, size = holding(table, column, spans)
    if rows > FEW or size > _FEW_BYTES:
        return None
    condition = None
    if column is not None:
        condition = reduce(operator.or_, (_within(span, column) for span in spans))
    return _in_memory(spark, table, paths, condition)


def count_between(spark: SparkSession, table: Published, column: str, span: Span) -> int:
    """How many rows of a published version have a time in a span."""
    if not is_local(table.uri):
        return read(spark, table).where(span.holds(column)).count()
    with _sound(table.uri):
        return int(_dataset(table, holding(table, column, [span])[0]).count_rows(filter=_within(span, column)))


def _in_memory(
    spark: SparkSession, table: Published, paths: Sequence[str], condition: pc.Expression | None = None
) -> DataFrame:
    """Rows of some local files of a table."""
    with _sound(table.uri):
        rows = _dataset(table, paths).to_table(filter=condition)
    return in_memory(spark, rows, _spark_schema(table))


@contextmanager
def _sound(uri: str) -> Iterator[None]:
    """Raise LatticeError where a file of a table, read without Spark, is missing or damaged."""
    try:
        yield
    except PermissionError:  # the file may be sound: jobs.spark_errors has the remedy
        raise
    except (pa.ArrowInvalid, OSError) as error:
        said = str(error).splitlines()[0].rstrip(".")
        named = re.search(r"'([^']+\.parquet)'", said)
        raise LatticeError(
            posixpath.join(uri, named[1]) if named else uri,
            f"A file of the table cannot be read: {said}.",
            "Restore the file; or delete the table's folder and build again.",
        ) from error


def _dataset(table: Published, paths: Sequence[str]) -> ds.Dataset:
    """Some local files of a table."""
    schema = pa.schema(_at(table.uri, table.version).schema().to_arrow())
    form = ds.ParquetFileFormat(read_options=ds.ParquetReadOptions(coerce_int96_timestamp_unit="us"))
    if not paths:
        return ds.dataset(schema.empty_table())
    return ds.dataset([_path(path) for path in paths], schema=schema, format=form)


def _path(uri: str) -> str:
    return unquote(uri.removeprefix("file://"))


def _spark_schema(table: Published) -> StructType:
    """Delta notes it in Spark's own words."""
    return StructType.fromJson(json.loads(_at(table.uri, table.version).schema().to_json()))


def _within(span: Span, column: str) -> pc.Expression:
    found = pc.field(column).is_valid()
    if span.start is not None:
        found &= pc.field(column) >= pa.scalar(span.start, pa.timestamp("us", "UTC"))
    if span.end is not None:
        found &= pc.field(column) < pa.scalar(span.end, pa.timestamp("us", "UTC"))
    return found


def among(table: Published, column: str, values: pa.Array) -> pa.Array:
    """Which of a few values a column of a published version has, without Spark; a row each."""
    rows = _at(table.uri, table.version).to_pyarrow_dataset()
    with _sound(table.uri):
        found = rows.to_table(columns=[column], filter=pc.field(column).isin(values))
    return found.column(column).combine_chunks()


def read_delta(
    spark: SparkSession, uri: str, version: int | None = None, as_of: datetime | None = None
) -> DataFrame:  # fmt: skip
    """The rows of any Delta table, at its latest version, a given one, or the latest of an instant (with a zone)."""
    reader = spark.read.format("delta")
    if as_of is not None:
        # Without a zone it is read in the session's, which is UTC.
        reader = reader.option("timestampAsOf", f"{as_of.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}")
    return (reader if version is None else reader.option("versionAsOf", version)).load(uri)


def files(table: Published) -> list[str]:
    """The Parquet files of exactly that version (Petastorm must never read the folder, which holds removed ones)."""
    return sorted(_at(table.uri, table.version).file_uris())


def delta_files(uri: str) -> list[str]:
    """The Parquet files of the latest version of any Delta table.

    Raises:
        OSError: there is no such table, or its log cannot be read.
    """
    try:
        return sorted(DeltaTable(uri).file_uris())
    except DeltaError as error:
        raise OSError(str(error)) from error


def file_names(uri: str, version: int) -> set[str] | None:
    """The names of the Parquet files of a version; None if the table's log does not tell of it any more."""
    try:
        return {path.rsplit("/", 1)[-1] for path in _at(uri, version).file_uris()}
    except DeltaError:
        return None


def current_files(uri: str) -> list[str]:
    """The Parquet files of the version that readers take: the published one, or the latest where none is published."""
    table = published(uri)
    return delta_files(uri) if table is None else files(table)


def leading(frame: DataFrame, *names: str) -> DataFrame:
    """These columns first: Delta keeps least and greatest of a table's first columns alone (pipelines.session)."""
    return frame.select(*names, *(name for name in frame.columns if name not in names))


def byte_size(table: Published) -> int:
    """How many bytes the files of exactly that version hold."""
    return sum(_at(table.uri, table.version).get_add_actions()["size_bytes"].to_pylist())


def write(frame: DataFrame, uri: str, *, append: bool, note: str, options: Mapping[str, str] | None = None) -> int:
    """Write a version that nobody reads until a publication names or pins it; return its number.

    Rows that are added may have other columns than those that are there; what a row lacks is null.
    """
    writer = frame.write.format("delta").mode("append" if append else "overwrite")
    writer = writer.option("mergeSchema" if append else "overwriteSchema", "true")
    wanted = {"compression": "zstd", **(options or {})}
    of_parquet = {key: value for key, value in wanted.items() if key.startswith("parquet.")}
    of_delta = {key: value for key, value in wanted.items() if key not in of_parquet}
    with _settings(frame.sparkSession, {**_dictionaries(frame), **of_parquet}):
        writer.options(userMetadata=f"lattice {note}", **of_delta).save(uri)
    return DeltaTable(uri).version()


@contextmanager
def _settings(spark: SparkSession, values: Mapping[str, str]) -> Iterator[None]:
    """Settings of Parquet's writer while the block lasts: Delta drops all but a few that a writer is given itself."""
    before = {key: spark.conf.get(key, None) for key in values}
    for key, value in values.items():
        spark.conf.set(key, value)
    try:
        yield
    finally:
        for key, was in before.items():
            if was is None:
                spark.conf.unset(key)
            else:
                spark.conf.set(key, was)


def _dictionaries(frame: DataFrame) -> dict[str, str]:
    """Dictionaries for ids and names alone, of which few differ: not for measured numbers and packed ones.

    To look each of those up takes half of the time of writing, and saves a tenth of the bytes.
    """
    plain = (FloatType, DoubleType, BinaryType)
    coded = (field.name for field in frame.schema if not isinstance(field.dataType, plain))
    return {"parquet.enable.dictionary": "false", **{f"parquet.enable.dictionary#{name}": "true" for name in coded}}


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
        _forget_orphans(before)
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
    _name(made)
    return made


def _as_written(made: Published) -> Published:
    """The candidate, as it is written now."""
    written = DeltaTable(made.uri)
    return replace(made, version=written.version(), rows=written.count())


def _name(made: Published) -> None:
    """Publish a version: readers take the one that is named in the properties."""
    through = made.through and made.through.isoformat()
    details = {
        "through": through, "plan": made.plan, "pins": dict(made.pins), "run": made.run, "evolved": made.evolved
    }  # fmt: skip
    properties = {_PUBLISHED: str(made.version), _FINGERPRINT: made.fingerprint, _DETAILS: json.dumps(details)}
    DeltaTable(made.uri).alter.set_table_properties(
        properties, raise_if_not_exists=False, commit_properties=_noted(made.run)
    )


def _noted(run: str) -> CommitProperties:
    """The run, in the metadata of a commit."""
    return CommitProperties(custom_metadata={"lattice.run": run})


def compact(
    table: Published,
    beside: Callable[[Published], None] = lambda _: None,
    run: str = "",
    rows_a_group: int | None = None,
) -> Published:
    """Merge a table's small files into larger ones and publish the result; the same rows, in a new version.

    Readers of older versions are not disturbed: no file is removed. ``beside`` and ``run`` as of ``publish``.
    ``rows_a_group``: of a table that is laid out for training, so many rows a row group at most; otherwise as many as
    the library takes.
    """
    _forget_orphans(table)
    delta = DeltaTable(table.uri)
    coded = {column.name: not _is_plain(column) for column in delta.schema().fields}
    done = delta.optimize.compact(
        writer_properties=WriterProperties(
            compression="ZSTD",
            max_row_group_size=rows_a_group,
            column_properties={name: ColumnProperties(dictionary_enabled=is_coded) for name, is_coded in coded.items()},
        ),
        commit_properties=_noted(run),
    )
    if not done["numFilesRemoved"]:
        return table
    made = replace(table, version=DeltaTable(table.uri).version(), run=run)
    beside(made)
    _name(made)
    return made


def _is_plain(column: Field) -> bool:
    """Whether a column holds measured or packed numbers: as of ``_dictionaries``."""
    return isinstance(column.type, PrimitiveType) and column.type.type in ("float", "double", "binary")


def vacuum(uri: str, keep: Collection[int], days: int, full: bool = False) -> int:
    """Delete the files that no version in ``keep`` needs and that left the table ``days`` ago; return how many.

    ``full``: and those that never were part of a version, such as a killed writer's.
    """
    try:
        table = DeltaTable(uri)
    except TableNotFoundError:
        return 0
    return len(
        table.vacuum(
            retention_hours=24 * days,
            dry_run=False,
            enforce_retention_duration=False,
            keep_versions=sorted(keep) or None,
            full=full,
        )
    )


def take_out(
    gone: DataFrame, uri: str, removal: Removal, *, held: bool, run: str, options: Mapping[str, str]
) -> Removal:
    """Take rows out of a table, in a version that is not yet published if the table is one that is.

    The version that the note names begins after the commit that took them out: that commit still lists the files that
    held them, with the least and greatest of their values.

    Args:
        gone: the rows' keys, all different, in the one column of the table that they are known by.
        removal: what the table is to note; its version and time are filled in.
        held: whether the table holds such rows now; otherwise only its earlier versions do.
        options: of the Parquet writer.
    """
    before, spark, (key,) = published(uri), gone.sparkSession, gone.columns
    if before is not None:
        _forget_orphans(before)
    if held:
        settings = {"spark.databricks.delta.commitInfo.userMetadata": f"lattice run={run}"}
        settings["spark.sql.parquet.compression.codec"] = options.get("compression", "zstd")
        of_parquet = {name: value for name, value in options.items() if name.startswith("parquet.")}
        with _settings(spark, {**settings, **_dictionaries(read_delta(spark, uri)), **of_parquet}):
            # The condition compares two columns: no value of a row gets into the table's log.
            same = F.col(f"kept.{key}") == F.col(f"gone.{key}")
            kept = SparkTable.forPath(spark, uri).alias("kept")
            kept.merge(gone.alias("gone"), same).whenMatchedDelete().execute()
    table = DeltaTable(uri)
    made = removal.model_copy(update={"version": table.version() + 1, "time": datetime.now(UTC)})
    table.alter.set_table_properties(
        {_REMOVED: made.model_dump_json()}, raise_if_not_exists=False, commit_properties=_noted(run)
    )
    return made


def restamp(table: Published, plan: str, run: str) -> None:
    """Publish the same rows as made under another plan: what that changed of the space file is none of theirs."""
    _forget_orphans(table)
    DeltaTable(table.uri).alter.set_table_properties(
        {"lattice.plan": plan}, raise_if_not_exists=False, commit_properties=_noted(run)
    )
    _name(replace(table, version=DeltaTable(table.uri).version(), plan=plan, evolved=True, run=run))


def publish_without(uri: str, removal: Removal, run: str) -> None:
    """Publish the version that rows were taken out of, as the one before was, but for its pins.

    What a table remembers beside it remembers those rows, too.
    """
    before = published(uri)
    if before is not None:
        _name(replace(before, version=removal.version, pins={}, run=run))


def columns_of(uri: str) -> list[str]:
    """The columns of a Delta table, as it is now."""
    return [field.name for field in DeltaTable(uri).schema().fields]


def write_checkpoint(uri: str, version: int) -> None:
    """Let a table be read from a version on without the log before it."""
    # The latest last: readers begin with the one that was written last.
    DeltaTable(uri, version=version).create_checkpoint()
    DeltaTable(uri).create_checkpoint()


def replace_where(rows: DataFrame, uri: str, condition: str, note: str) -> None:
    """Put ``rows`` in the place of those of a table without publications for which a SQL condition holds."""
    writer = rows.write.format("delta").mode("overwrite").option("replaceWhere", condition)
    writer.option("userMetadata", f"lattice {note}").save(uri)


def latest_version(uri: str) -> int | None:
    """The version of a Delta table that it is now at; None if there is no table."""
    return DeltaTable(uri).version() if exists(uri) else None


def exists(uri: str) -> bool:
    """Whether there is a Delta table, published or not."""
    return DeltaTable.is_deltatable(uri)


def value_counts(uri: str, *columns: str) -> dict[tuple[str, ...], int]:
    """How many rows of a small Delta table have each combination of values; empty where there is no table."""
    if not exists(uri):
        return {}
    with _sound(uri):
        rows = DeltaTable(uri).to_pyarrow_table(columns=list(columns)).select(columns).to_pydict()
    return dict(sorted(Counter(zip(*rows.values(), strict=True)).items()))


def _added(spark: SparkSession, made: Published, kept: set[str], before: int) -> DataFrame:
    """The rows of a candidate that were not there before: few of them in memory."""
    added = [uri for uri in files(made) if uri not in kept]
    if not is_local(made.uri) or made.rows - before > FEW:
        return read_files(spark, made, kept)
    if sum(Path(_path(path)).stat().st_size for path in added) > _FEW_BYTES:
        return read_files(spark, made, kept)
    return _in_memory(spark, made, added)


def _forget_orphans(before: Published) -> None:
    """Take back what a killed run has written after the publication."""
    table = DeltaTable(before.uri)
    if table.version() > before.version + 1:
        table.restore(before.version + 1)


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


def join_uri(warehouse: str, *parts: str) -> str:
    """``warehouse/part/part``, for a folder or a URI."""
    return "/".join([warehouse.rstrip("/"), *parts])


def is_local(uri: str) -> bool:
    return urlparse(uri).scheme in ("", "file")
