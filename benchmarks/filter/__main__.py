"""``python -m benchmarks.filter``: see its ``--help``."""

import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import torch
import typer
import yaml

from benchmarks.filter.measured import Measured, measure
from benchmarks.filter.page import Chosen, Filtered, draw, page
from benchmarks.filter.pool import pool_space
from benchmarks.filter.ways import PARETO, WAYS
from benchmarks.models.cell import Cell, Runner, code
from benchmarks.models.filling import fill
from benchmarks.models.rows import Part, Source, having
from benchmarks.models.standing import difference, standing
from benchmarks.models.store import Store
from benchmarks.models.systems import LATTICE, System
from benchmarks.quality_result import Machine
from benchmarks.results import Out, save
from jobs import logs, options
from jobs.models import current_manifest
from jobs.target import Target, fingerprint
from lattice_model.importance.config import ImportanceConfig
from pipelines.pareto import pareto_select
from pipelines.selection import comparison_axes
from schemas.manifest import Split
from schemas.narrowing import candidates
from schemas.space_file import load_space, shipped_spaces

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True)
TARGETS = (100, 300, 600)


@app.command()
def pool(
    space: options.Space = options.DEFAULT_SPACE,
    rate: Annotated[
        list[str] | None, typer.Option("--rate", help="DOMAIN=SHARE of its impressions in the sample 'pool'; repeat.")
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="The space file to write.")] = Path("pool.yaml"),
) -> None:
    """Write a space file with thousands of candidate features in place of a space's own histories.

    Examples:

      python -m benchmarks.filter pool --rate coupon=0.08 --rate display=0.006 --rate mailer=0.006 --out pool.yaml

      lattice build --space pool.yaml --sample pool --warehouse pool-warehouse
    """
    declared = load_space(space)
    rates = dict.fromkeys(declared.domains, 1.0) | {
        name: float(share) for name, _, share in (text.partition("=") for text in rate or ())
    }
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
    budget: Annotated[
        float, typer.Option("--budget", min=0, help="Minutes; 0 only writes the page of what is known.")
    ] = 60,
    keep: Annotated[Path, typer.Option("--keep", help="Where results are kept; a later run goes on from them.")] = Path(
        "filter-grid"
    ),
    out: Out = Path("docs/results/filter.md"),
) -> None:
    """Choose features in several ways from one pool, and train a new network with what each of them chose.

    Examples:

      python -m benchmarks.filter compare --space pool.yaml --warehouse pool-warehouse --budget 120
    """
    target = Target.parse(space, warehouse, group)
    manifest = current_manifest(target)
    users = tuple(name for name, part in target.space.features.categorical.items() if part.column == "user_id")
    torch.set_num_threads(1)
    store, revision, source = Store(keep), code(), Source(manifest=manifest, folder=keep)
    runner, system = Runner(source, users), System(name=LATTICE, kind=LATTICE)

    def cell(features: tuple[str, ...] | None, split: Split, seed: int) -> Cell:
        settings = system.settings(system.start, having(manifest, features), seed, users)
        return Cell(
            part=Part(), kind=LATTICE, settings=settings, split=split, rows=rows, data=manifest.fingerprint,
            code=revision, features=features,
        )  # fmt: skip

    config = ImportanceConfig(repeats=repeats)
    known = _known(keep, cell(None, "validation", 1), runner, source, permuted, config)
    kept = tuple(part.name for part in manifest.sequences)
    sizes = targets or [size for size in TARGETS if size < len(known.features)]

    def chosen(way: str, size: int, seed: int) -> tuple[str, ...]:
        names = set(known.features[WAYS[way](known, size, seed)].tolist())
        return (*(name for name in manifest.features() if name in names), *kept)

    def cells() -> Iterator[tuple[str, Cell]]:
        for seed in range(1, seeds + 1):
            yield f"all features, seed {seed}", cell(None, "test", seed)
            for size in sizes:
                for way in WAYS:
                    yield f"{size} by {way}, seed {seed}", cell(chosen(way, size, seed), "test", seed)

    if budget:
        fill(cells, runner, store, budget)
    every = range(1, seeds + 1)
    found = []
    for size in sizes:
        ours = [[cell(chosen(PARETO, size, seed), "test", seed)] for seed in every]
        first = set(chosen(PARETO, size, 1)) - set(kept)
        for way in WAYS:
            theirs = [[cell(chosen(way, size, seed), "test", seed)] for seed in every]
            if (one := standing(way, theirs, store)) is None:
                continue
            behind = None if way == PARETO else difference(ours, theirs, store)
            names = set(chosen(way, size, 1)) - set(kept)
            found.append(
                Chosen(
                    way=way, target=size, features=len(names), common=len(names & first),
                    standing=one.model_copy(update={"behind": behind}),
                )
            )  # fmt: skip
    axes = comparison_axes(known.importance_FN, standard_errors=known.standard_errors_FN)
    result = Filtered(
        command=shlex.join(["python", "-m", "benchmarks.filter", *sys.argv[1:]]),
        machine=Machine.here(),
        space=target.space.name,
        sample=manifest.sample,
        fingerprint=manifest.fingerprint,
        candidates=len(known.features),
        useful=len(axes.useful),
        tasks=tuple(known.tasks.tolist()),
        sizes=pareto_select(known.importance_FN, 0, 1).sizes,
        training_rows=rows,
        permuted_rows=int(known.rows),
        seeds=seeds,
        everything=standing("all", [[cell(None, "test", seed)] for seed in every], store),
        chosen=tuple(found),
    )
    image = out.parent.parent / "images" / f"{out.stem}.png"
    for folder in (image.parent, out.parent):
        folder.mkdir(parents=True, exist_ok=True)
    save(result, page(result, f"../images/{image.name}"), out)
    draw(result, image)
    print(f"Results: {out}")


def _known(keep: Path, cell: Cell, runner: Runner, source: Source, permuted: int, config: ImportanceConfig) -> Measured:
    """What is measured of the features, once."""
    path = keep / f"measured-{fingerprint(cell.key, str(permuted), config.model_dump_json())[:16]}.npz"
    if not path.is_file():
        measure(cell, runner, source, permuted, config).save(path)
    return Measured.load(path)


if __name__ == "__main__":
    logs.configure(logs.wanted())
    options.guarded(app)
