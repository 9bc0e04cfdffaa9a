"""``python -m benchmarks.fuxictr``: the interaction parts of the baselines against FuxiCTR's, layer by layer.

FuxiCTR's pins are not ours, so it runs in an environment of its own:

  git clone https://github.com/reczoo/FuxiCTR /tmp/FuxiCTR
  python -m venv /tmp/fuxictr
  /tmp/fuxictr/bin/pip install torch -r /tmp/FuxiCTR/requirements.txt
  python -m benchmarks.fuxictr --source /tmp/FuxiCTR --python /tmp/fuxictr/bin/python

Each part is built here with random weights and run on random input; weights, input and output go to the other
environment (``theirs.py``), which puts the weights into FuxiCTR's layer of that kind and tells how far its output is.
"""

import json
import subprocess
import tempfile
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.fuxictr.ours import cases

TOLERANCE = 1e-5
"""Of float32 numbers, relative to the largest one of the output."""


def main(
    source: Annotated[Path, typer.Option("--source", help="A checkout of FuxiCTR.")],
    python: Annotated[Path, typer.Option("--python", help="The Python of an environment that can import it.")],
) -> None:
    """Compare every part; the exit status is 1 if one differs."""
    with tempfile.TemporaryDirectory() as folder:
        torch.save(cases(), Path(folder) / "cases.pt")
        found = subprocess.run(
            [python, Path(__file__).with_name("theirs.py"), source, Path(folder) / "cases.pt"],
            check=False,
            stdout=subprocess.PIPE,
            text=True,
        )
    if found.returncode:  # it has said why
        raise typer.Exit(found.returncode)
    differences = json.loads(found.stdout.splitlines()[-1])
    shown = Table("model", "FuxiCTR's layer", "largest difference")
    for name, (layer, difference) in differences.items():
        shown.add_row(name, layer, f"{difference:.1e}" + ("" if difference < TOLERANCE else "  differs"))
    Console().print(shown)
    if not all(difference < TOLERANCE for _, difference in differences.values()):
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
