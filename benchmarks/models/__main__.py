"""``python -m benchmarks.models``: see its ``--help``."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

import torch
import typer

from benchmarks.models.cell import Runner, code
from benchmarks.models.filling import fill
from benchmarks.models.grid import Grid
from benchmarks.models.page import Compared, Stage, Tuned, draw, page
from benchmarks.models.rows import Source
from benchmarks.models.standing import difference, standing
from benchmarks.models.store import Store
from benchmarks.models.systems import BY_PORTFOLIO, CONSOLIDATION, LATTICE, System, systems, user_ids
from benchmarks.quality_result import Machine
from benchmarks.results import Budget, Keep, Out, save
from jobs import options
from jobs.models import current_manifest
from jobs.target import Target


def compared(grid: Grid, store: Store, target: Target, command: str) -> Compared:
    """All that is known so far."""
    seeds = range(1, grid.seeds + 1)

    def stage(title: str, systems: tuple[System, ...], rows: int | None, base: str, tuned: bool = True) -> Stage:
        by_seed = {
            system.name: [grid.chosen(system, seed, rows) for seed in seeds] if tuned else [grid.first(system)]
            for system in systems
        }
        found = [standing(name, cells, store) for name, cells in by_seed.items()]
        return Stage(
            title=title,
            base=base,
            standings=tuple(
                one.model_copy(update={"behind": difference(by_seed[base], by_seed[one.name], store)})
                if one.name != base and base in by_seed
                else one
                for one in found
                if one is not None
            ),
        )

    every = grid.systems
    alone = tuple(system for system in every if system.name == LATTICE or system.name not in CONSOLIDATION)
    shared = tuple(system for name in CONSOLIDATION for system in every if system.name == name)
    how = "tuned" if grid.trials else "first settings"
    fixed = f"{grid.rows:,} rows"
    untuned = (
        stage(f"All models, first settings, {fixed}", alone, grid.rows, LATTICE, tuned=False),
        stage(f"Consolidation, first settings, {fixed}", shared, grid.rows, BY_PORTFOLIO, tuned=False),
    )
    return Compared(
        command=command,
        machine=Machine.here(),
        space=target.space.name,
        group=target.group,
        sample=grid.manifest.sample,
        fingerprint=grid.manifest.fingerprint,
        training_rows=grid.manifest.tables["training"].rows,
        rows=grid.rows,
        trials=grid.trials,
        seeds=grid.seeds,
        cells=len({cell.key for _, cell in grid.cells()} & store.outcomes.keys()),
        stages=(
            stage(f"All models, {how}, {fixed}", alone, grid.rows, LATTICE),
            stage("The best four, tuned on fewer, all rows", tuple(grid.best()), None, LATTICE),
            stage(f"Consolidation, {how}, {fixed}", shared, grid.rows, BY_PORTFOLIO),
            *(untuned if grid.trials else ()),
        ),
        tuned=tuple(
            Tuned(system=system.name, part=str(part), settings=params, score=score)
            for system in every
            for part, params, score in grid.tuned(system)
        ),
    )


def models(
    space: options.Space = options.DEFAULT_SPACE,
    warehouse: options.Warehouse = options.DEFAULT_WAREHOUSE,
    group: options.Group = options.DEFAULT_GROUP,
    rows: Annotated[
        int, typer.Option("--rows", min=1, help="Training rows of the full grid, chosen by hash.")
    ] = 300_000,
    trials: Annotated[
        int, typer.Option("--trials", min=0, help="Settings tried of each system; 0: all keep their first settings.")
    ] = 6,
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="Of each system with its tuned settings.")] = 3,
    budget: Budget = 60,
    keep: Keep = Path("models-grid"),
    out: Out = Path("docs/results/models.md"),
) -> None:
    """Compare Lattice, ten models, LightGBM and separate models on a built group's tables.

    First every system with its first settings and one seed; then the trials, judged on the validation range alone; then
    every system with its best settings and several seeds on the test range; at last the best four on all rows.

    Examples:

      python -m benchmarks.models --warehouse warehouse --budget 480

      python -m benchmarks.models --warehouse warehouse --budget 0

    Each process uses one thread; started again beside itself, it shares the work.
    """
    target = Target.parse(space, warehouse, group)
    manifest = current_manifest(target)
    users = user_ids(target.space)
    store = Store(keep)
    grid = Grid(
        systems=systems(manifest),
        manifest=manifest,
        users=users,
        rows=rows,
        trials=trials,
        seeds=seeds,
        code=code(),
        outcomes=store.outcomes,
    )
    if budget:
        torch.set_num_threads(1)
        fill(grid.cells, Runner(Source(manifest=manifest, folder=keep), users), store, budget)
    result = compared(grid, store, target, shlex.join(["python", "-m", "benchmarks.models", *sys.argv[1:]]))
    image = out.parent.parent / "images" / f"{out.stem}.png"
    image.parent.mkdir(parents=True, exist_ok=True)
    out.parent.mkdir(parents=True, exist_ok=True)
    save(result, page(result, f"../images/{image.name}"), out)
    draw(result, image)
    print(f"Results: {out}")


if __name__ == "__main__":
    options.script(models)
