"""Deletes every file that holds forgotten users, and what the tables' logs say of them.

It overrides what pins a version, and so comes only when files that left a table have stayed for long enough.
"""

from collections.abc import Collection, Mapping
from datetime import UTC, datetime

from jobs.forgetting import records, space_tables
from jobs.logs import say
from jobs.target import Target
from pipelines.tables import published, removed, vacuum, write_checkpoint
from pipelines.warehouse import list_files, remove, write_text


def kept_pins(uri: str, versions: Collection[int], days: int) -> set[int]:
    """The pinned versions of a table that files are still kept for: none that a forgotten user is in, after so long."""
    removal = removed(uri)
    if removal is None or not removal.is_due(days, datetime.now(UTC)):
        return set(versions)
    return {version for version in versions if version >= removal.version}


def erase(target: Target, days: int, pinned: Mapping[str, Collection[int]]) -> int:
    """Erase forgotten users whose rows left their tables ``days`` ago; return how many files were deleted."""
    now, deleted, waiting = datetime.now(UTC), 0, False
    for uri in space_tables(target):
        removal = removed(uri)
        if removal is None or not (earlier := _log_before(uri, removal.version)):
            continue
        if not removal.is_due(days, now):
            waiting = True
            continue
        found = published(uri)
        needed = kept_pins(uri, pinned.get(uri, ()), days)
        needed |= {found.version} if found is not None else set()
        deleted += vacuum(uri, needed, days, full=True)
        write_checkpoint(uri, removal.version)
        for file in earlier:
            remove(file)
    if not waiting:
        for record in records(target):
            if record.erased is None:
                write_text(
                    f"{target.forgetting_records}/{record.id}.json",
                    record.model_copy(update={"erased": now}).model_dump_json(indent=1),
                )
    if deleted:
        say(f"  {deleted:,} files that held forgotten users are deleted", deleted=deleted)
    return deleted


def _log_before(uri: str, version: int) -> list[str]:
    """The files of a table's log, checkpoints and checksums before a version, the earliest first."""
    found = []
    for file in list_files(f"{uri}/_delta_log"):
        number = file.rsplit("/", 1)[-1].lstrip(".")[:20]
        if number.isdigit() and int(number) < version:
            found.append(file)
    return found
