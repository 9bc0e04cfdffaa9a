"""Takes the tables of a group, and of its space, back together to the versions of an earlier run.

Each table goes back by one commit of Delta, which changes its rows and the version that is named at once. They follow
one another from the last that is made to the first, so that, as in a night, no table ever holds more than those that it
is made of. What is to be done is noted first: whoever takes the warehouse after a kill finishes it.
"""

from dataclasses import replace

from jobs.logs import say
from jobs.target import Target
from pipelines.tables import Published, files, join_uri, latest_version, published, published_at, removed, restore
from pipelines.warehouse import file_exists, list_files, read_text, remove, write_text
from schemas.errors import LatticeError
from schemas.run import RunRecord


def record_of(target: Target, run: str) -> RunRecord:
    """The record of a run.

    Raises:
        LatticeError: there is none.
    """
    place = f"{target.runs}/{run}.json"
    known = list_files(target.runs)
    if place not in known:
        latest = ", ".join(uri.rsplit("/", 1)[-1].removesuffix(".json") for uri in known[-3:]) or "none"
        raise LatticeError(f"run '{run}'", "The warehouse has no record of it.", f"The latest: {latest}.")
    return RunRecord.model_validate_json(read_text(place))


def roll_back(target: Target, record: RunRecord, run: str) -> list[Published]:
    """Take every table to the version that was published when the run of ``record`` ended; return what was changed.

    Raises:
        LatticeError: before anything is changed: a table was not published then, or its files are gone.
    """
    wanted = _versions(target, record)
    write_text(target.rollback, record.id)
    changed = []
    for table in reversed(wanted):
        now = published(table.uri)
        if now is None or now.version != table.version:
            restore(table.uri, table.version + 1, run)
            changed.append(table)
            name = table.uri.rsplit("/", 1)[-1]
            say(f"  {name:<24} back at version {table.version}", table=name, version=table.version)
    if record.quarantine is not None and latest_version(target.quarantine) != record.quarantine:
        restore(target.quarantine, record.quarantine, run)
    remove(target.rollback)
    return changed


def finish_rollback(target: Target, run: str) -> None:
    """Finish a rollback that was killed half-way, if there is one."""
    if target.rollback in list_files(target.space_folder):
        record = record_of(target, read_text(target.rollback))
        say(f"a rollback to run {record.id} was not finished; finishing it first")
        roll_back(target, record, run)


def _versions(target: Target, record: RunRecord) -> list[Published]:
    """What was published then, in the order in which it is made."""
    missing = [uri.rsplit("/", 1)[-1] for uri in target.tables if uri not in record.published and published(uri)]
    if missing:
        raise LatticeError(
            f"run '{record.id}'",
            f"When it ended, {', '.join(missing)} had not been published.",
            "Give a later run; `lattice status` lists them.",
        )
    found = [published_at(uri, record.published[uri]) for uri in target.tables if uri in record.published]
    kept_apart = [] if record.quarantine is None else [(target.quarantine, record.quarantine)]
    for uri, version in [*((table.uri, table.version) for table in found), *kept_apart]:
        if (removal := removed(uri)) is not None and version < removal.version:
            raise LatticeError(
                uri,
                f"Since run '{record.id}' users were taken out of it, and going back would bring them back.",
                "Give a later run.",
            )
    for table in found:
        folder = table.uri.rsplit("/", 1)[0]
        pinned = [replace(table, uri=join_uri(folder, name), version=at) for name, at in table.pins.items()]
        lost = sum(not file_exists(path) for version in (table, *pinned) for path in files(version))
        if lost:
            raise LatticeError(
                table.uri,
                f"{lost} files of version {table.version}, which run '{record.id}' left, are gone from the warehouse.",
                "Give a later run, or build anew; `lattice compact --keep-days` says how long such files stay.",
            )
    training = target.group_table("training")
    if training in record.published:
        read_text(target.manifest_uri(record.published[training]))
    return found
