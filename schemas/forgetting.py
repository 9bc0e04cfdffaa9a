"""Forgetting users (paper 3.1, compliance): what a request is while it is carried out, and what is kept of it."""

from datetime import datetime, timedelta

from pydantic import BaseModel, ConfigDict


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Removal(_Part):
    """What a table notes, in its properties, when users were taken out of it: the last time alone."""

    request: str
    version: int
    """The first version without them; those before are not to be read again."""
    rows: int
    """How many the table lost."""
    time: datetime

    def is_due(self, days: int, now: datetime) -> bool:
        """Whether files that left the table then have stayed for so many days."""
        return self.time + timedelta(days=days) <= now


class TableRemoval(_Part):
    """``rows`` is 0 where only earlier versions of the table held the users."""

    table: str
    """Its place in the space's folder."""
    rows: int


class TrainedModel(_Part):
    group: str
    model: str


class ForgettingRecord(_Part):
    """The record of a request, for who must show that it was carried out. It names nobody, not even by a hash."""

    id: str
    started: datetime
    finished: datetime
    users: int
    unknown: int
    """Of the users: no table of the space held a row of theirs."""
    tables: tuple[TableRemoval, ...] = ()
    models: tuple[TrainedModel, ...] = ()
    """Those that were trained on rows of the users."""
    models_untold: tuple[TrainedModel, ...] = ()
    """Those of which it cannot be told: their training rows had been deleted before."""
    manifests: tuple[str, ...] = ()
    """The files of the manifests that cannot be repeated any more."""
    erased: datetime | None = None
    """When the last file that held the users was deleted; None while some are still there."""

    @property
    def rows(self) -> int:
        return sum(table.rows for table in self.tables)


class Request(_Part):
    """A request that is under way: it lies in the space's folder until the last table is published, and no longer."""

    users: tuple[str, ...]
    """Their ids as the source has them."""
    models: tuple[str, ...]
    """Folders of models outside the warehouse."""
    record: ForgettingRecord
    """All that is to be done, and what will be kept of it."""
