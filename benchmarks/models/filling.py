"""Running the cells of a grid for as long as there is time, alone or beside other processes on the same folder."""

import time
from collections.abc import Callable, Iterable

from rich.console import Console

from benchmarks.models.cell import Cell, Runner
from benchmarks.models.store import Store

console = Console(stderr=True)
_PAUSE = 2.0
"""Seconds before looking again whether others are done."""


def fill(cells: Callable[[], Iterable[tuple[str, Cell]]], runner: Runner, store: Store, minutes: float) -> bool:
    """Run the cells, each with its title, that are not known yet; return whether all are known.

    ``cells`` is asked again after what other processes ran meanwhile. It stops before a cell that would, by what ones
    like it took, end after ``minutes``.
    """
    ends = time.monotonic() + 60 * minutes
    elsewhere = True
    while elsewhere:
        elsewhere = False
        store.refresh()
        for title, cell in cells():
            if cell.key in store.outcomes:
                continue
            if time.monotonic() + _expected(cell, store) > ends:
                console.print("Time is up; the same command goes on from here.")
                return False
            with store.claim(cell.key) as ours:
                if ours:
                    found = runner.run(cell)
                    store.add(found)
                    said = found.outcome.failed or ", ".join(f"{p.auc or 0:.4f}" for p in found.outcome.portfolios)
                    console.print(f"{title}: AUC {said}; {found.outcome.seconds:.0f} s", highlight=False)
                elsewhere |= not ours
        if elsewhere:
            time.sleep(_PAUSE)
    return True


def _expected(cell: Cell, store: Store) -> float:
    """Seconds of the longest cell like this one; of the longest at all, if there is none."""
    every = [outcome for outcome in store.outcomes.values() if outcome.cell.rows == cell.rows]
    alike = [o for o in every if (o.cell.kind, o.cell.part, o.cell.split) == (cell.kind, cell.part, cell.split)]
    return max((outcome.seconds for outcome in alike or every), default=0.0)
