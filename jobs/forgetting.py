"""Carries out a request to forget users: what is to be done is found out and noted first, then done table by table.

Nothing that is noted depends on how much of it is done already, so whoever takes the warehouse after a kill finishes
it. Tables follow one another from the raw ones to ``training``, as in a build.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from pyspark.sql import DataFrame, SparkSession

from jobs.forgotten_models import clean_predictions, trained_on
from jobs.logs import say
from jobs.suppression import enlist
from jobs.target import REMEMBERED, Target, fingerprint
from pipelines.forgetting import FILE, PLACE, holding, ids_of, read_files
from pipelines.layout import PARQUET_OPTIONS
from pipelines.privacy import possible_ids
from pipelines.session import spark_session
from pipelines.tables import (
    Published,
    columns_of,
    current_files,
    exists,
    publish_without,
    published,
    removed,
    take_out,
)
from pipelines.warehouse import list_files, list_folders, read_text, remove, remove_folder, write_text
from schemas.forgetting import ForgettingRecord, Removal, Request, TableRemoval
from schemas.manifest import PinnedTable, TrainingManifest

_LAID_OUT = ("training", "evaluation")
_MADE_OF = ("impressions", "feedback", "unified", "outcomes", "zipped", "evaluation")
"""What a manifest pins beside the training table itself."""


@dataclass(frozen=True)
class Holding:
    """What one table's files hold of the users of a request."""

    files: frozenset[str]
    """By name: of every version, and of none."""
    places: frozenset[int]
    """Of whom, by place in the request."""
    rows: int
    """In the version that is published, or the latest one."""
    available: dict[str, datetime]
    """Of ``training``: when the first of the rows in a file became available."""


def space_tables(target: Target) -> dict[str, str | None]:
    """Every Delta table in the space's folder, whoever made it, and the group that it is of; the space's own first."""
    of_space, of_groups = dict[str, str | None](), dict[str, str | None]()
    for folder in list_folders(target.space_folder):
        if exists(folder):
            of_space[folder] = None
            continue
        for uri in list_folders(folder):
            if exists(uri):
                of_groups[uri] = _name(folder)
    rank = {
        name: place for place, name in enumerate(("unified", "pool", "outcomes", "zipped", "evaluation", "training"))
    }
    last = dict(sorted(of_groups.items(), key=lambda item: rank.get(_name(item[0]), -1)))
    return {**of_space, **last}


def find(spark: SparkSession, target: Target, users: Sequence[str]) -> dict[str, Holding]:
    """What each table holds of the users; those that hold nothing are left out."""
    found = {}
    for uri, group in space_tables(target).items():
        columns = columns_of(uri) if uri != target.forgotten else []
        if (key := _key(columns)) is None:
            continue
        timed = ", available_time timestamp" if _name(uri) == "training" else ""
        rows = read_files(spark, _every_file(uri), f"{key} {'string' if key == 'user_id' else 'long'}{timed}")
        held = holding(rows, _ids(spark, target, users, group, key), key).collect()
        if held:
            now = {path.rsplit("/", 1)[-1] for path in current_files(uri)}
            found[uri] = Holding(
                files=frozenset(row[FILE] for row in held),
                places=frozenset(row[PLACE] for row in held),
                rows=sum(row["rows"] for row in held if row[FILE] in now),
                available={row[FILE]: row["first"].astimezone(UTC) for row in held} if timed else {},
            )
    return found


def planned(target: Target, users: Sequence[str], held: dict[str, Holding], models: Sequence[str], run: str) -> Request:
    """The request, with all that is to be done, and to be said of it."""
    now = datetime.now(UTC)
    touched = _touched(target, held)
    yes, untold = trained_on(target, {uri: part for uri, part in held.items() if _name(uri) == "training"}, models)
    record = ForgettingRecord(
        id=run,
        started=now,
        finished=now,
        users=len(users),
        unknown=len(users) - len(frozenset[int]().union(*(part.places for part in held.values()))),
        tables=tuple(
            TableRemoval(table=_within(target, uri), rows=held[uri].rows if uri in held else 0) for uri in touched
        ),
        models=yes,
        models_untold=untold if held else (),
        manifests=tuple(_within(target, uri) for uri in _manifests(touched)),
    )
    return Request(users=tuple(users), record=record, models=tuple(models))


def carry_out(spark: SparkSession, target: Target, request: Request, run: str) -> ForgettingRecord:
    """Do what a request says, and whatever of it is not done yet; return its record, which lies in the space's folder.

    Raises:
        LatticeError: the environment has another key than the list of forgotten users was made with, or none.
    """
    record = request.record
    write_text(target.forgetting_request, request.model_dump_json())
    enlist(spark, target, request.users, run)
    groups = space_tables(target)
    for part in record.tables:
        uri = f"{target.space_folder}/{part.table}"
        _take_out(spark, target, request, part, groups[uri], run)
        say(f"  {part.table:<32} {part.rows:>13,} rows taken out", table=part.table, rows=part.rows)
        _leave_behind(uri, groups[uri])
    if record.tables:
        named = sorted({group for group in groups.values() if group is not None})
        names = {name for group in named for _, name in _names(target, request.users, group)}
        clean_predictions(target, names, request.models)
    for name in record.manifests:
        _mark(f"{target.space_folder}/{name}", record.id)
    record = record.model_copy(update={"finished": datetime.now(UTC)})
    write_text(f"{target.forgetting_records}/{record.id}.json", record.model_dump_json(indent=1))
    remove(target.forgetting_request)
    return record


def finish_forgetting(target: Target, run: str) -> ForgettingRecord:
    """Finish a request that was killed half-way; return its record."""
    request = Request.model_validate_json(read_text(target.forgetting_request))
    say(f"the request {request.record.id} to forget users was not finished; finishing it first")
    return carry_out(spark_session("forget"), target, request, run)


def records(target: Target) -> list[ForgettingRecord]:
    """Of all requests, the oldest first."""
    found = [uri for uri in list_files(target.forgetting_records) if uri.endswith(".json")]
    return [ForgettingRecord.model_validate_json(read_text(uri)) for uri in found]


def _take_out(
    spark: SparkSession, target: Target, request: Request, part: TableRemoval, group: str | None, run: str
) -> None:
    uri = f"{target.space_folder}/{part.table}"
    noted, before, id_ = removed(uri), published(uri), request.record.id
    if noted is not None and noted.request == id_ and (before is None or before.version >= noted.version):
        return
    key = _key(columns_of(uri))
    assert key is not None, "only tables with such a key are part of a request"
    options = PARQUET_OPTIONS if _name(uri) in _LAID_OUT else {}
    removal = Removal(request=id_, version=0, rows=part.rows, time=datetime.now(UTC))
    gone = _ids(spark, target, request.users, group, key).drop(PLACE)
    held = part.rows > 0
    removal = take_out(gone, uri, removal, held=held, run=run, options=options)
    if group is not None and _name(uri) == "training" and before is not None:
        _move_manifest(target, group, before, removal)
    publish_without(uri, removal, run)


def _key(columns: Sequence[str]) -> str | None:
    """The column that tells whose a table's rows are; None if they are nobody's."""
    return next((name for name in ("user_id", "impression_id") if name in columns), None)


def _ids(spark: SparkSession, target: Target, users: Sequence[str], group: str | None, key: str) -> DataFrame:
    """What the users, or their impressions, are called in a table of a group; None for one of the space."""
    ids = ids_of(spark, _names(target, users, group))
    if key == "user_id":
        return ids
    shown = [uri for name in ("impressions", "late_impressions") if exists(uri := target.space_table(name))]
    paths = [path for uri in shown for path in _every_file(uri)]
    rows = read_files(spark, paths, "user_id string, impression_id long")
    raw = ids_of(spark, _names(target, users, None))
    return rows.join(raw, on="user_id", how="inner").select(PLACE, "impression_id").distinct()


def _names(target: Target, users: Sequence[str], group: str | None) -> list[tuple[int, str]]:
    """What users are called in the tables of a group: as in the source, and on each side as its key makes it."""
    if group is None:
        return list(enumerate(users))
    return [(place, name) for place, user in enumerate(users) for name in possible_ids(target.space, group, user)]


def _touched(target: Target, held: Collection[str]) -> list[str]:
    """The tables that are to be published anew: where the users are, or what remembers their events, or pins those."""
    every, found = space_tables(target), set(held)
    if any(_name(uri).startswith("events_") for uri in held):
        found |= {uri for uri in every if (table := published(uri)) is not None and table.pins}
    for uri, group in every.items():
        if _name(uri) == "training" and any(_name(one) in _MADE_OF and every[one] in (None, group) for one in found):
            found.add(uri)
    return [uri for uri in every if uri in found]


def _every_file(uri: str) -> list[str]:
    """Of every version, and of killed writers."""
    return [path for path in list_files(uri) if path.endswith(".parquet")]


def _manifests(touched: Sequence[str]) -> list[str]:
    """The manifests that pin versions as they were before: those of the training tables that are touched."""
    folders = [uri.removesuffix("training") + "manifests" for uri in touched if _name(uri) == "training"]
    return [uri for folder in folders for uri in list_files(folder) if uri.endswith(".json")]


def _move_manifest(target: Target, group: str, before: Published, removal: Removal) -> None:
    """The manifest of the training table without the users: all that it pins is without them, too."""
    folder = f"{target.space_folder}/{group}/manifests"
    manifest = TrainingManifest.model_validate_json(read_text(f"{folder}/training-{before.version}.json"))
    tables = {}
    for name, pinned in manifest.tables.items():
        now = published(pinned.uri) if name != "training" else replace(before, version=removal.version)
        if now is not None:
            rows = now.rows - removal.rows if name == "training" else now.rows
            tables[name] = PinnedTable(uri=pinned.uri, version=now.version, rows=rows)
    moved = manifest.model_copy(
        update={"tables": tables, "fingerprint": fingerprint(manifest.fingerprint, removal.request)}
    )
    write_text(f"{folder}/training-{removal.version}.json", moved.model_dump_json(indent=1))


def _mark(uri: str, request: str) -> None:
    manifest = TrainingManifest.model_validate_json(read_text(uri))
    if request not in manifest.forgotten:
        marked = manifest.model_copy(update={"forgotten": (*manifest.forgotten, request)})
        write_text(uri, marked.model_dump_json(indent=1))


def _leave_behind(uri: str, group: str | None) -> None:
    """Delete what a table remembered of the past, which is gathered again, and the rows of unfinished importance."""
    folder, name = uri.rsplit("/", 1)
    if name in REMEMBERED:
        remove_folder(f"{folder}/{REMEMBERED[name]}")
    if name == "training":
        remove_folder(f"{folder}/samples")
    if group is not None:
        remove_folder(f"{folder}/importance_runs")


def _within(target: Target, uri: str) -> str:
    return uri.removeprefix(target.space_folder + "/")


def _name(uri: str) -> str:
    return uri.rsplit("/", 1)[-1]
