"""``lattice rollback``: a group's tables back at the versions of an earlier run, together."""

from typing import Annotated

import typer

from jobs import options
from jobs.logs import say
from jobs.restoring import record_of, roll_back
from jobs.runs import running
from jobs.target import Target
from schemas.errors import LatticeError


def rollback(
    run: Annotated[str, typer.Option("--run", help="The run, as `lattice status` shows it.")],
    space: options.Space = options.DEFAULT_SPACE,
    warehouse: options.Warehouse = options.DEFAULT_WAREHOUSE,
    group: options.Group = options.DEFAULT_GROUP,
) -> None:
    """Take the tables of a group, and of its space, back to what was published when a run ended.

    No row is computed and no file deleted, so a later run can be gone back to as well. The next night goes on from
    there.

    Examples:

      lattice status --space my_space.yaml --warehouse /data/warehouse

      lattice rollback --run 20240501T013000-482913 --space my_space.yaml --warehouse /data/warehouse
    """
    roll_back_to(Target.parse(space, warehouse, group), run)


def roll_back_to(target: Target, run: str) -> None:
    """As the command.

    Raises:
        LatticeError: the run is not known, is another group's, or what it left is no longer there.
    """
    record = record_of(target, run)
    if record.group != target.group:
        remedy = f"Give --group {record.group}, or another run."
        raise LatticeError(f"run '{run}'", f"It is of the group '{record.group}'.", remedy)
    with running(target, "rollback") as this:
        changed = roll_back(target, record, this.id)
    say(
        f"rollback: {len(changed)} tables are back at run {run}" if changed else f"rollback: nothing differs from {run}"
    )


if __name__ == "__main__":
    options.script(rollback)
