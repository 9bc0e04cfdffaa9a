"""``lattice forget``: take users out of every table, for good."""

import json
import time
from pathlib import Path
from typing import Annotated

import typer

from jobs import options
from jobs.compact import pinned_versions
from jobs.erasing import erase
from jobs.forgetting import carry_out, find, planned
from jobs.logs import console, say
from jobs.runs import Made, Run, running
from jobs.spark_errors import explained
from jobs.suppression import hashed, listed
from jobs.target import Target
from pipelines.session import spark_session
from pipelines.tables import published
from schemas.errors import LatticeError
from schemas.forgetting import ForgettingRecord
from schemas.space_file import load_space


def asked(users: list[str], file: Path | None) -> list[str]:
    """The users that the options name, each once.

    Raises:
        LatticeError: they name nobody, or the file cannot be read.
    """
    named = list(users)
    if file is not None:
        try:
            named += file.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            problem = getattr(error, "strerror", None) or "It is not text in UTF-8"
            raise LatticeError(f"--users {file}", f"{problem}.", "Give a text file with one id a line.") from error
    found = list(dict.fromkeys(name for user in named if (name := user.strip())))
    if not found:
        raise LatticeError(
            "--user, --users", "They name nobody.", "Give --user ID, or --users FILE with one id a line."
        )
    return found


def forget_users(
    target: Target, users: list[str], *, at_once: bool = False, models: tuple[str, ...] = ()
) -> ForgettingRecord | None:
    """Take users out of every table of the space; return the record, or None if there was nothing to be done.

    Args:
        at_once: delete the files that held them now, not after the retention of `lattice compact`.
        models: folders of models outside the warehouse.

    Raises:
        LatticeError: the environment has no key for the list of forgotten users, or another one than it was made with.
    """
    hashed(target, users)  # what needs the key fails before anything is written
    with running(target, "forget") as run, explained():
        with console.status("forget: looking for the users in every table"):
            spark = spark_session("forget")
            before = set(listed(spark, target, users))
            held = find(spark, target, users)
            # Of who was forgotten before, only rows count that are there in spite of it.
            again = {users[place] for part in held.values() if part.rows for place in part.places} & before
            wanted = [user for user in users if user not in before or user in again]
            if wanted and wanted != users:
                held = find(spark, target, wanted)
        record = None
        if wanted:
            request = planned(target, wanted, held, models, run.id)
            record = carry_out(spark, target, request, run.id)
            _note(run, record)
        if at_once:
            erase(target, 0, pinned_versions(target))
    return record


def _note(run: Run, record: ForgettingRecord) -> None:
    now = time.time()
    for part in record.tables:
        table = published(f"{run.target.space_folder}/{part.table}")
        if table is not None:
            run.made.append(Made(table=table, rows=-part.rows, started=record.started.timestamp(), ended=now))


def forget(
    space: options.Space = options.DEFAULT_SPACE,
    warehouse: options.Warehouse = options.DEFAULT_WAREHOUSE,
    user: Annotated[
        list[str] | None, typer.Option("--user", help="A user, as the source names them; may be repeated.")
    ] = None,
    users: Annotated[Path | None, typer.Option("--users", help="A file with one user a line.", metavar="FILE")] = None,
    now: Annotated[
        bool, typer.Option("--now", help="Delete the files at once, not when `lattice compact` would.")
    ] = False,
    models: Annotated[
        list[Path] | None, typer.Option("--models", help="A folder of models outside the warehouse; may be repeated.")
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Take users out of every table of the space and its groups, keep them out, and say which models knew them.

    The files that held them are deleted by `lattice compact` when they have stayed for its --keep-days, or by --now.
    Needs the secret LATTICE_PRIVACY_KEY, as every later run of the space does.

    Examples:

      lattice forget --user 4711 --space my_space.yaml --warehouse /data/warehouse

      lattice forget --users requests.txt --now --json

      spark-submit jobs/forget.py --users requests.txt --space my_space.yaml --warehouse s3a://bucket/warehouse
    """
    named = asked(user or [], users)
    target = Target.parse(space, warehouse, next(iter(load_space(space).groups)))
    record = forget_users(target, named, at_once=now, models=tuple(str(folder) for folder in models or ()))
    if as_json:
        print(json.dumps(record.model_dump(mode="json") if record else None, indent=2))
        return
    if record is None:
        say("forget: nothing was changed; these users had been forgotten before")
        return
    _tell(target, record, now)


def _tell(target: Target, record: ForgettingRecord, erased: bool) -> None:
    if record.unknown:
        say(
            f"forget: {record.unknown:,} of the {record.users:,} users are in no table of the space; "
            "they are on the list of forgotten users all the same"
        )
    say(f"forget: {record.rows:,} rows of {record.users - record.unknown:,} users were taken out", rows=record.rows)
    for what, found in (("was", record.models), ("may have been", record.models_untold)):
        for model in found:
            say(f"  model {model.model} of the group {model.group} {what} trained on them", model=model.model)
    if record.manifests:
        say(f"  {len(record.manifests)} manifests cannot be repeated any more")
    if record.tables and not erased:
        say("  the files that held them are there until `lattice compact` has come by after its --keep-days")
    say(f"  the record of this request: {target.forgetting_records}/{record.id}.json")


if __name__ == "__main__":
    options.script(forget)
