"""``python -m benchmarks.filter``: see its ``--help``."""

import inspect
import shlex
import sys
from collections.abc import Collection
from itertools import product
from pathlib import Path
from typing import Annotated

import torch
import typer
import yaml
from rich.console import Console

from benchmarks.filter import measured as measuring
from benchmarks.filter import taylor
from benchmarks.filter.grid import Grid, Trainings
from benchmarks.filter.measured import Measured, measure
from benchmarks.filter.page import Chosen, Filtered, draw, page
from benchmarks.filter.pool import pool_space
from benchmarks.filter.ways import PARETO, WAYS
from benchmarks.models.cell import Runner, code
from benchmarks.models.filling import fill
from benchmarks.models.rows import Source
from benchmarks.models.standing import difference, standing
from benchmarks.models.store import Store
from benchmarks.models.systems import user_ids
from benchmarks.quality_result import Machine
from benchmarks.results import Budget, Keep, Out, save
from jobs import logs, options
from jobs.models import current_manifest
from jobs.target import Target, fingerprint
from lattice_model.importance.config import ImportanceConfig
from pipelines.pareto import pareto_select
from pipelines.selection import comparison_axes
from schemas.errors import LatticeError
from schemas.narrowing import candidates
from schemas.space_file import load_space, shipped_spaces

console = Console(stderr=True)
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True)
TARGETS = (100, 300, 600)


@app.command()
def pool(
    space: options.Space = options.DEFAULT_SPACE,
    rate: Annotated[
        list[str] | None,
        typer.Option("--rate", help="DOMAIN=SHARE of its impressions in the sample 'pool', by default all; repeat."),
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="The space file to write.")] = Path("pool.yaml"),
) -> None:
    """Write a space file with thousands of candidate features in place of a space's own histories.

    Examples:

      python -m benchmarks.filter pool --rate coupon=0.08 --rate display=0.006 --rate mailer=0.006 --out pool.yaml

      lattice build --space pool.yaml --sample pool --warehouse pool-warehouse
    """
    declared = load_space(space)
    rates = dict(_rate(text, declared.domains) for text in rate or ())
    path = shipped_spaces().get(str(space), Path(space))
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    with out.open("w", encoding="utf-8") as file:
        yaml.safe_dump(pool_space(content, declared, rates), file, sort_keys=False)
    print(f"{out}: {len(candidates(load_space(out))):,} candidate features")


@app.command()
def compare(
    space: options.Space = options.DEFAULT_SPACE,
    warehouse: options.Warehouse = options.DEFAULT_WAREHOUSE,
    group: options.Group = options.DEFAULT_GROUP,
    rows: Annotated[int, typer.Option("--rows", min=1, help="Training rows, chosen by hash.")] = 100_000,
    permuted: Annotated[int, typer.Option("--permuted", min=1, help="Validation rows to permute.")] = 8_192,
    repeats: Annotated[int, typer.Option("--repeats", min=1, help="Permutations of a feature, at most.")] = 1,
    targets: Annotated[list[int] | None, typer.Option("--target", min=1, help="Features to choose; repeat.")] = None,
    seeds: Annotated[int, typer.Option("--seeds", min=1)] = 3,
    budget: Budget = 60,
    keep: Keep = Path("filter-grid"),
    out: Out = Path("docs/results/filter.md"),
) -> None:
    """Choose features in several ways from one pool, and train a new network with what each of them chose.

    Examples:

      python -m benchmarks.filter compare --space pool.yaml --warehouse pool-warehouse --budget 120
    """
    target = Target.parse(space, warehouse, group)
    manifest = current_manifest(target)
    torch.set_num_threads(1)
    source, store = Source(manifest=manifest, folder=keep), Store(keep)
    trainings = Trainings(manifest=manifest, users=user_ids(target.space), rows=rows, code=code())
    runner = Runner(source, trainings.users)
    known = measured(trainings, runner, source, permuted, ImportanceConfig(repeats=repeats))
    sizes = targets or [size for size in TARGETS if size < len(known.features)]
    grid = Grid(trainings=trainings, known=known, targets=sizes, seeds=seeds)
    if budget:
        fill(grid.cells, runner, store, budget)
    result = compared(grid, store, target, shlex.join(["python", "-m", "benchmarks.filter", *sys.argv[1:]]))
    image = out.parent.parent / "images" / f"{out.stem}.png"
    image.parent.mkdir(parents=True, exist_ok=True)
    save(result, page(result, f"../images/{image.name}"), out)
    draw(result, image)
    print(f"Results: {out}")


def measured(trainings: Trainings, runner: Runner, source: Source, permuted: int, config: ImportanceConfig) -> Measured:
    """What is measured of the features, once."""
    cell = trainings.cell(None, "validation", 1)
    sources = [inspect.getsource(module) for module in (measuring, taylor)]
    key = fingerprint(cell.key, str(permuted), config.model_dump_json(), *sources)[:16]
    path = source.folder / f"measured-{key}.npz"
    if not path.is_file():
        console.print("Measuring every feature, once; this takes a while.")
        measure(cell, runner, source, permuted, config).save(path)
    return Measured.load(path)


def compared(grid: Grid, store: Store, target: Target, command: str) -> Filtered:
    """All that is known so far."""
    known, manifest = grid.known, grid.trainings.manifest
    found = []
    for size, way in product(grid.targets, WAYS):
        if (one := standing(way, grid.of(way, size), store)) is None:
            continue
        behind = None if way == PARETO else difference(grid.of(PARETO, size), grid.of(way, size), store)
        names = grid.chosen(way, size, 1)
        found.append(
            Chosen(
                way=way,
                target=size,
                features=len(names),
                common=len(names & grid.chosen(PARETO, size, 1)),
                standing=one.model_copy(update={"behind": behind}),
            )
        )
    sample = target.space.samples.get(manifest.sample or "")
    return Filtered(
        command=command,
        machine=Machine.here(),
        space=target.space.name,
        sample=manifest.sample,
        rates={} if sample is None else sample.rates,
        fingerprint=manifest.fingerprint,
        candidates=len(known.features),
        useful=len(comparison_axes(known.importance_FN, standard_errors=known.standard_errors_FN).useful),
        tasks=tuple(known.tasks.tolist()),
        sizes=pareto_select(known.importance_FN, 0, 1).sizes,
        training_rows=grid.trainings.rows,
        permuted_rows=int(known.rows),
        seeds=grid.seeds,
        everything=standing("all", grid.everything(), store),
        chosen=tuple(found),
    )


def _rate(text: str, domains: Collection[str]) -> tuple[str, float]:
    """DOMAIN=SHARE."""
    name, _, share = text.partition("=")
    try:
        rate = float(share)
    except ValueError:
        rate = 0.0
    if name not in domains or not 0 < rate <= 1:
        problem = "It is not a domain of the space, = and a share above 0 and up to 1."
        raise LatticeError(f"--rate {text}", problem, f"Domains: {', '.join(domains)}.")
    return name, rate


if __name__ == "__main__":
    logs.configure(logs.wanted())
    options.guarded(app)
