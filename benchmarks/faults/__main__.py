"""What is left of a build or a night that something ends: ``python -m benchmarks.faults``.

Kills the driver at random moments, fills the disk, spoils files and kills an executor, each time on a small generated
space, and compares what the next run leaves with what an undisturbed one does, row for row (benchmarks.content).
With ``--keep FOLDER`` what was found is noted there, and a run that was cut goes on.
"""

import os
import shutil
import sys
from collections.abc import Callable
from enum import StrEnum
from functools import partial
from pathlib import Path
from tempfile import mkdtemp
from typing import Annotated

import typer
from rich.console import Console

from benchmarks.faults.cases import Fault, full_disk, killed, lost_executor, spoilt_input, spoilt_table
from benchmarks.faults.site import Site
from benchmarks.quality_result import Machine
from benchmarks.results import Out, Result, Scratch, save

console = Console(stderr=True)


class Tally(Result):
    """Everything that was done, and on what machine."""

    command: str
    machine: Machine
    faults: tuple[Fault, ...]
    planned: int
    left_out: str = ""

    @property
    def good(self) -> bool:
        return all(fault.equal and fault.readers is not False for fault in self.faults)


class Kind(StrEnum):
    """The kinds of faults."""

    input = "input"
    table = "table"
    disk = "disk"
    executor = "executor"
    kill = "kill"


def cases(site: Site, kind: Kind, kills: int, seed: int) -> dict[str, Callable[[], Fault]]:
    """The faults of a kind, by a key that stays the same."""
    both = ("build", "nightly")
    match kind:
        case Kind.input:
            found = [partial(spoilt_input, site, command, seed) for command in both]
        case Kind.table:
            found = [partial(spoilt_table, site, seed)]
        case Kind.disk if os.geteuid() == 0:
            found = [partial(full_disk, site, *fill) for fill in (("build", 0.3), ("build", 0.7), ("nightly", 0.5))]
        case Kind.disk:
            found = []
        case Kind.executor:
            found = [partial(lost_executor, site, seed)]
        case Kind.kill:
            found = [partial(killed, site, both[number % 2], seed + number) for number in range(kills)]
    return {f"{kind} {number} seed {seed}": fault for number, fault in enumerate(found)}


def page(tally: Tally) -> str:
    """The tally as Markdown."""
    lines = [
        "# What is left of a run that something ends",
        "",
        f"By `{tally.command}`, on a generated space. Readers: whether they found each table as it was before or as it "
        "was to be. Same: whether the next run left the same rows in every table as one that nothing disturbed.",
        "",
        "| fault | command | times | readers | same | how the disturbed runs ended |",
        "| --- | --- | ---: | ---: | ---: | --- |",
    ]
    kinds = dict.fromkeys((fault.case, fault.command) for fault in tally.faults)
    for case, command in kinds:
        found = [fault for fault in tally.faults if (fault.case, fault.command) == (case, command)]
        looked = [fault for fault in found if fault.readers is not None]
        ends = "; ".join(dict.fromkeys(fault.ended for fault in found))
        readers = f"{sum(fault.readers is True for fault in looked)} of {len(looked)}" if looked else "one is lost"
        same = f"{sum(fault.equal for fault in found)} of {len(found)}"
        lines.append(f"| {case} | {command} | {len(found)} | {readers} | {same} | {ends} |")
    fewer = f"{len(tally.faults)} of {tally.planned} faults had been tried when this page was written."
    remarks = [*([fewer] if len(tally.faults) < tally.planned else []), *([tally.left_out] if tally.left_out else [])]
    return "\n".join([*lines, "", *(part for remark in remarks for part in (remark, "")), str(tally.machine), ""])


def main(
    kills: Annotated[int, typer.Option("--kills", min=0, help="How often the driver is killed.")] = 50,
    seed: Annotated[int, typer.Option("--seed", help="Of the moments and files.")] = 0,
    only: Annotated[list[Kind], typer.Option("--only", help="Faults of this kind; once for each.")] = list(Kind),  # noqa: B006
    scratch: Scratch = None,
    keep: Annotated[
        Path | None, typer.Option("--keep", help="Work here, note what is found, and go on from there.")
    ] = None,
    out: Out = Path("docs/results/faults.md"),
) -> None:
    """Disturb, run again, compare."""
    folder = keep or Path(mkdtemp(prefix="lattice-faults-", dir=scratch))
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "faults.jsonl"
    done = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
    faults = [Fault.model_validate_json(line) for line in done]
    chosen = "" if only == list(Kind) else "".join(f" --only {kind}" for kind in only)

    def tally(planned: int) -> Tally:
        made = Tally(
            command=f"python -m benchmarks.faults --kills {kills} --seed {seed}{chosen}",
            machine=Machine.here(),
            faults=tuple(faults),
            planned=planned,
            left_out=""
            if os.geteuid() == 0
            else "A full disk was not tried: it needs a file system of its own (root).",
        )
        save(made, page(made), out)
        return made

    try:
        site = Site((folder / "site").resolve())
        site.prepare()
        every = {key: case for kind in only for key, case in cases(site, kind, kills, seed).items()}
        done_before = {fault.key for fault in faults}
        for key in (key for key in every if key not in done_before):
            fault = every[key]().model_copy(update={"key": key})
            faults.append(fault)
            with log.open("a", encoding="utf-8") as lines:
                lines.write(fault.model_dump_json() + "\n")
            state = "same" if fault.equal else "DIFFERS"
            console.print(f"{fault.case}, {fault.command}, {fault.detail}: {fault.ended}; {state}", highlight=False)
            tally(len(every))
    finally:
        if keep is None:
            shutil.rmtree(folder, ignore_errors=True)
    found = tally(len(every))
    print(page(found))
    sys.exit(0 if found.good else 1)


if __name__ == "__main__":
    typer.run(main)
