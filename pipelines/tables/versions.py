"""Which version of a table readers take, and what was made of it: noted in the table's properties."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from pathlib import Path

from deltalake import CommitProperties, DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError

from pipelines.tables.uris import is_local, path_of
from schemas.errors import LatticeError
from schemas.forgetting import Removal

PUBLISHED, _FINGERPRINT, _DETAILS = "lattice.published", "lattice.fingerprint", "lattice.details"
REMOVED = "lattice.removed"


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
    return _of_properties(uri, properties) if PUBLISHED in properties else None


def _of_properties(uri: str, properties: Mapping[str, str]) -> Published:
    version = int(properties[PUBLISHED])
    details = json.loads(properties.get(_DETAILS, "{}"))
    through = details.pop("through", None)
    return Published(
        uri=uri,
        version=version,
        fingerprint=properties[_FINGERPRINT],
        rows=at_version(uri, version).count(),
        through=through and datetime.fromisoformat(through),
        **details,
    )


def published_at(uri: str, version: int) -> Published:
    """What was published when that version was.

    Raises:
        LatticeError: the table does not remember it.
    """
    try:
        properties = at_version(uri, version + 1).metadata().configuration
    except DeltaError as error:
        remedy = "Give a later one, or build anew."
        raise LatticeError(uri, f"Version {version} is no longer in the table's log.", remedy) from error
    return _of_properties(uri, properties)


def require(uri: str, made_by: str) -> Published:
    """What is published at ``uri``.

    Raises:
        LatticeError: nothing is; ``made_by`` is the command that makes it.
    """
    found = published(uri)
    if found is None:
        raise LatticeError(uri, "No version of this table is published.", f"Run `{made_by}` first.")
    return found


def removed(uri: str) -> Removal | None:
    """What the table noted when users were last taken out of it; None if none ever were, or there is no table."""
    try:
        noted = DeltaTable(uri).metadata().configuration.get(REMOVED)
    except TableNotFoundError:
        return None
    return None if noted is None else Removal.model_validate_json(noted)


def at_version(uri: str, version: int) -> DeltaTable:
    """A version of a table, to be read: it never changes, so that its log is read once.

    A table that was deleted and made anew has other files of the log.
    """
    if not is_local(uri):
        return DeltaTable(uri, version=version)
    try:
        commit = Path(path_of(uri), "_delta_log", f"{version:020}.json").stat()
    except FileNotFoundError:
        return DeltaTable(uri, version=version)
    return _opened(uri, version, (commit.st_ino, commit.st_mtime_ns))


@lru_cache(maxsize=256)
def _opened(uri: str, version: int, _commit: tuple[int, int]) -> DeltaTable:
    return DeltaTable(uri, version=version)


def name_version(made: Published) -> None:
    """Publish a version: readers take the one that is named in the properties."""
    through = made.through and made.through.isoformat()
    details = {
        "through": through, "plan": made.plan, "pins": dict(made.pins), "run": made.run, "evolved": made.evolved
    }  # fmt: skip
    properties = {PUBLISHED: str(made.version), _FINGERPRINT: made.fingerprint, _DETAILS: json.dumps(details)}
    DeltaTable(made.uri).alter.set_table_properties(
        properties, raise_if_not_exists=False, commit_properties=noted(made.run)
    )


def noted(run: str) -> CommitProperties:
    """The run, in the metadata of a commit."""
    return CommitProperties(custom_metadata={"lattice.run": run})
