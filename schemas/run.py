"""What a run leaves behind: its metrics, and which version of each table was published when it ended."""

from collections.abc import Iterable
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict

State = Literal["running", "succeeded", "failed"]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TableRun(_Part):
    """What one table took and gained; ``bytes`` is how much its published files grew."""

    name: str
    stage: str
    version: int
    rows: int
    seconds: float
    bytes: int
    quarantined: int
    missing: int = 0
    """Raw rows of the days before that no table has: they were delivered after their night."""


class RunRecord(_Part):
    """One run of a command that changes tables. It stays ``running`` where it was killed."""

    id: str
    command: str
    space: str
    group: str
    sample: str | None
    state: State
    started: datetime
    ended: datetime | None = None
    problem: str | None = None
    """Of a run that failed: what was wrong."""
    tables: tuple[TableRun, ...] = ()
    """Those that it published, in order."""
    published: dict[str, int] = {}
    """URI -> the version that was published when it ended, of every table of the group and of its space."""
    quarantine: int | None = None
    """The version of the space's quarantine table then; None if there was none."""

    @property
    def seconds(self) -> float | None:
        return (self.ended - self.started).total_seconds() if self.ended else None

    @property
    def rows(self) -> int:
        return sum(table.rows for table in self.tables)

    @property
    def bytes(self) -> int:
        return sum(table.bytes for table in self.tables)

    @property
    def quarantined(self) -> int:
        return sum(table.quarantined for table in self.tables)

    @property
    def late(self) -> int:
        """Rows that came too late to change a published one, whether their source says so or they are missing."""
        kept = sum(table.rows for table in self.tables if table.name.startswith("late_"))
        return kept + sum(table.missing for table in self.tables)


def last_of_each(records: Iterable[RunRecord]) -> list[RunRecord]:
    """The last run of each command; ``records`` come in the order of time."""
    return list({record.command: record for record in records}.values())
