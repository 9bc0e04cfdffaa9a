"""Runs: each command that changes tables has an id, holds the warehouse, and leaves a record there."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime

from jobs.logs import RUN, say
from jobs.restoring import finish_rollback
from jobs.target import Target
from pipelines.tables import Published, latest_version, published
from pipelines.warehouse import list_files, locked, read_text, write_text
from schemas.errors import LatticeError
from schemas.run import RunRecord, State, TableRun


@dataclass(frozen=True)
class Made:
    """What one table took: the version, the rows that it gained, and from when to when (seconds since the epoch)."""

    table: Published
    rows: int
    started: float
    ended: float
    quarantined: int = 0
    """Rows that were kept apart, because they break an expectation."""
    missing: int = 0
    """Raw rows of days before that are in no table."""
    stage: str = ""
    bytes: int = 0
    """How much the files of the published version grew."""

    @property
    def name(self) -> str:
        return self.table.uri.rsplit("/", 1)[-1]


@dataclass
class Run:
    """A run that is on."""

    id: str
    command: str
    target: Target
    started: datetime
    made: list[Made] = field(default_factory=list)

    def record(self, state: State, problem: str | None = None) -> RunRecord:
        """What is to be known of the run now."""
        target = self.target
        tables = {uri: found for uri in target.tables if (found := published(uri))} if state != "running" else {}
        return RunRecord(
            id=self.id,
            command=self.command,
            space=target.space.name,
            group=target.group,
            sample=target.sample_name,
            state=state,
            started=self.started,
            ended=datetime.now(UTC) if state != "running" else None,
            problem=problem,
            tables=tuple(
                TableRun(
                    name=made.name,
                    stage=made.stage,
                    version=made.table.version,
                    rows=made.rows,
                    seconds=made.ended - made.started,
                    bytes=made.bytes,
                    quarantined=made.quarantined,
                    missing=made.missing,
                )
                for made in self.made
            ),
            published={uri: table.version for uri, table in tables.items()},
            quarantine=latest_version(target.quarantine) if state != "running" else None,
        )


@contextmanager
def running(target: Target, command: str) -> Iterator[Run]:
    """Hold the space's part of the warehouse for a run; its record lies there from the start.

    Raises:
        LatticeError: the warehouse cannot be written, or another run holds it.
    """
    with locked(target.warehouse, target.space.name):
        started = datetime.now(UTC)
        # Ids sort by time; no two runs hold the space at one instant.
        run = Run(f"{started:%Y%m%dT%H%M%S-%f}", command, target, started)
        place = f"{target.runs}/{run.id}.json"
        token = RUN.set(run.id)
        try:
            _write(place, run.record("running"))
            clock = time.monotonic()
            finish_rollback(target, run.id)
            yield run
            _write(place, run.record("succeeded"))
            seconds = round(time.monotonic() - clock, 1)
            say(f"{command}: finished in {seconds} s", command=command, seconds=seconds)
        except BaseException as error:
            # What stopped the run may stop its record too.
            with suppress(OSError):
                _write(place, run.record("failed", _summary(error)))
            raise
        finally:
            RUN.reset(token)


def _summary(error: BaseException) -> str:
    """What went wrong, without examples: a record outlives the users whose rows they show."""
    if isinstance(error, LatticeError):
        return f"{error.place}: {error.problem.splitlines()[0]}"
    return type(error).__name__


def _write(place: str, record: RunRecord) -> None:
    write_text(place, record.model_dump_json(indent=1))


def records(target: Target) -> list[RunRecord]:
    """The last hundred runs of the space, the oldest first."""
    found = [uri for uri in list_files(target.runs) if uri.endswith(".json")][-100:]
    return [RunRecord.model_validate_json(read_text(uri)) for uri in found]
