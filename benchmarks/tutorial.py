"""How long the tutorial takes: ``python -m benchmarks.tutorial`` runs the commands of docs/own-data.md, one by one."""

import os
import re
import subprocess
import sys
import time
from functools import partial
from itertools import takewhile
from operator import ne
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from benchmarks.quality_result import Machine
from benchmarks.results import Out, Result, Scratch, save

PAGE = Path(__file__).parents[1] / "docs" / "own-data.md"


class Step(Result):
    """One command of the page."""

    command: str
    seconds: float


class Tutorial(Result):
    """All commands, in order."""

    machine: Machine
    steps: tuple[Step, ...]

    @property
    def minutes(self) -> float:
        return sum(step.seconds for step in self.steps) / 60


def commands(page: str) -> list[str]:
    """The shell commands of a page's blocks without a language, in order; a here-document is one with its command."""
    found = []
    for language, block in re.findall(r"^```(\w*)\n(.*?)^```$", page, re.DOTALL | re.MULTILINE):
        lines = iter([] if language else block.splitlines())
        for line in lines:
            opened = re.search(r"<<'(\w+)'$", line)
            if opened is not None:
                line = "\n".join([line, *takewhile(partial(ne, opened[1]), lines), opened[1]])
            if line and not line.startswith("#"):
                found.append(line)
    return found


def page(tutorial: Tutorial) -> str:
    """What was measured, as Markdown."""
    rows = [f"| `{step.command.splitlines()[0]}` | {step.seconds:.1f} |" for step in tutorial.steps]
    return "\n".join(
        [
            "# How long the tutorial takes",
            "",
            f"By `python -m benchmarks.tutorial`: every command of [own-data.md](../own-data.md), in order, in "
            f"{tutorial.minutes:.1f} minutes.",
            "",
            "| command | seconds |",
            "| --- | ---: |",
            *rows,
            "",
            str(tutorial.machine),
            "",
        ]
    )


def main(
    minutes: Annotated[float, typer.Option("--minutes", help="More than these are a failure.")] = 10.0,
    scratch: Scratch = None,
    out: Out = Path("docs/results/tutorial.md"),
) -> None:
    """Run the commands, each in a shell in one folder, and note what they take."""
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    steps = []
    with TemporaryDirectory(prefix="lattice-tutorial-", dir=scratch) as folder:
        for command in commands(PAGE.read_text(encoding="utf-8")):
            started = time.monotonic()
            subprocess.run(["bash", "-ec", command], cwd=folder, env=environment, check=True)
            steps.append(Step(command=command, seconds=time.monotonic() - started))
    tutorial = Tutorial(machine=Machine.here(), steps=tuple(steps))
    save(tutorial, page(tutorial), out)
    print(page(tutorial))
    sys.exit(0 if tutorial.minutes <= minutes else 1)


if __name__ == "__main__":
    typer.run(main)
