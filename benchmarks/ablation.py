"""What each part of the Lattice Network and of its supervision brings: ``python -m benchmarks.ablation``.

Each variant changes one thing in the network of the first settings of ``benchmarks.models``, and is trained on the same
rows with the same seeds.
"""

import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import matplotlib
import torch
import typer

from benchmarks.models.cell import Cell, Runner, code
from benchmarks.models.filling import fill
from benchmarks.models.page import as_table, show_interval, show_number
from benchmarks.models.rows import Part, Source
from benchmarks.models.standing import Standing, difference, standing
from benchmarks.models.store import Store
from benchmarks.models.systems import LATTICE, System, user_ids
from benchmarks.models.tuning import ID_DROPOUT
from benchmarks.quality_result import Machine
from benchmarks.results import Budget, Keep, Out, Result, save
from jobs import options
from jobs.models import current_manifest
from jobs.target import Target
from schemas.manifest import TrainingManifest

matplotlib.use("Agg")
import matplotlib.pyplot as plt

BASE = "as it is"
_SMALL = 0.002
"""Differences up to it are drawn on a linear scale, larger ones on that of their logarithms."""
NETWORK: dict[str, dict[str, Any]] = {
    "no attention to other features": {"network.cross_attention": False},
    "no generated parameters": {"network.generated_rank": 0},
    "no RoPE": {"network.rotary": False},
    "no QK-norm": {"network.query_key_norm": False},
    "no FMB, more LCB": {"network.fmb_tokens": 0, "network.lcb_tokens": 16},
    "no LCB, more FMB": {"network.fmb_tokens": 16, "network.lcb_tokens": 0},
    "with a deep cross member": {"network.cross_tokens": 4},
    "no dense residuals": {"network.dense_residuals": False},
    "one layer": {"network.layers": 1},
    "three layers": {"network.layers": 3},
    "HardSigmoid": {"network.gate": "hard_sigmoid"},
    "BlockNorm of 16": {"network.norm_block": 16},
    "last layer untied": {"network.untied_layers": (1,)},
    "both layers untied": {"network.untied_layers": (0, 1)},
    "a tower a domain": {"network.towers": "domain"},
    "sources encoded": {"network.source_encoding": True},
    "no dropout of users' ids": {ID_DROPOUT: 0.0},
}
"""Changes of the network."""


def supervision(manifest: TrainingManifest) -> dict[str, dict[str, Any]]:
    """Changes of the supervision; MetaBalance's target is the objective with the most domains."""
    target = max(manifest.objectives, key=lambda objective: len(objective.domains)).name
    return {
        "with the correlation loss": {"training.correlation_weight": 0.1},
        f"MetaBalance to {target}": {"training.metabalance": target},
        "SOAP": {"training.optimizer": "soap"},
        "Shampoo": {"training.optimizer": "shampoo"},
        "Clippy": {"training.clipping": "clippy", "training.clippy_absolute": 0.004},
        "label smoothing": {"training.label_smoothing": 0.01},
        "heads weigh alike": {"training.balance": "heads"},
    }


class Ablated(Result):
    """Everything that is known so far; ``behind`` of a standing is it minus the base."""

    command: str
    machine: Machine
    space: str
    group: str
    sample: str | None
    fingerprint: str
    """The manifest's, which pins every table."""
    training_rows: int
    rows: int
    seeds: int
    base: Standing | None
    network: tuple[Standing, ...]
    supervision: tuple[Standing, ...]


_HEAD = """# What each part brings

Lattice Network on `{result.space}`, group `{result.group}`, sample `{sample}`: a fixed {result.rows:,} training rows by
hash, up to {result.seeds} seeds, judged on the test range. By `{result.command}`.

Each row changes one thing in the network of the first settings of `python -m benchmarks.models`; nothing is tuned
again. Differences are the row minus the network as it is (AUC: above 0, NE: below 0 is better with the change), with
95 % intervals by a bootstrap over users, paired, seeds averaged; ± is the standard deviation between seeds. An interval
over users says nothing about seeds: a difference within ± may be chance.
"""


def page(result: Ablated, image: str) -> str:
    """The result as Markdown; ``image`` is the figure's place."""
    header = ("change", "mean AUC", "difference", "mean NE", "difference", "MFLOPs", "dense MParams", "rows/s", "seeds")
    lines = [_HEAD.format(result=result, sample=result.sample or "all"), f"![What each change does]({image})", ""]
    for title, found in (("Network", result.network), ("Supervision", result.supervision)):
        rows = [_row(one) for one in (result.base, *found) if one is not None]
        lines += [f"## {title}", "", *as_table(header, rows), ""]
    return "\n".join([*lines, str(result.machine), ""])


def draw(result: Ablated, path: Path) -> None:
    """Each change's difference from the network as it is, with its interval; right is better in both plots."""
    found = [(one.name, one.behind) for one in (*result.network, *result.supervision) if one.behind is not None]
    figure, plots = plt.subplots(1, 2, figsize=(11, 1.5 + 0.28 * len(found)), sharey=True, layout="constrained")
    for axes, metric, title in (
        (plots[0], "mean_auc", "mean AUC, change minus as it is"),
        (plots[1], "mean_normalized_entropy", "mean NE, as it is minus change"),
    ):
        sign = 1 if metric == "mean_auc" else -1
        for place, (_, behind) in enumerate(found):
            part = getattr(behind, metric)
            if part.estimate is not None and part.low is not None and part.high is not None:
                ends = sorted((sign * part.low, sign * part.high))
                axes.plot(ends, (place, place), color="tab:gray", lw=1.5)
                axes.plot(sign * part.estimate, place, "o", color="tab:blue", ms=5)
        axes.axvline(0, color="black", lw=0.8)
        # One change that spoils everything must not hide what the others do.
        axes.set_xscale("symlog", linthresh=_SMALL)
        axes.set_xticks([-0.01, -_SMALL, 0, _SMALL, 0.01], ["-0.01", f"-{_SMALL:g}", "0", f"{_SMALL:g}", "0.01"])
        axes.set_xlabel(f"{title} (right: better with the change)", fontsize=8)
        axes.set_yticks(range(len(found)), [name for name, _ in found], fontsize=8)
        axes.tick_params(axis="x", labelsize=8)
    plots[0].invert_yaxis()
    # No date of drawing in the file: the same result gives the same picture.
    figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)


def _row(one: Standing) -> tuple[str, ...]:
    behind = one.behind
    return (
        one.name,
        f"{one.mean_auc:.4f} ± {one.spread_auc:.4f}",
        "" if behind is None else show_interval(behind.mean_auc),
        f"{one.mean_normalized_entropy:.4f} ± {one.spread_normalized_entropy:.4f}",
        "" if behind is None else show_interval(behind.mean_normalized_entropy),
        show_number(one.mflops, 3),
        show_number(one.mparams, 3),
        show_number(one.rows_per_second, 0),
        str(one.seeds),
    )


def ablation(
    space: options.Space = options.DEFAULT_SPACE,
    warehouse: options.Warehouse = options.DEFAULT_WAREHOUSE,
    group: options.Group = options.DEFAULT_GROUP,
    rows: Annotated[int, typer.Option("--rows", min=1, help="Training rows, chosen by hash.")] = 300_000,
    seeds: Annotated[int, typer.Option("--seeds", min=1)] = 3,
    budget: Budget = 60,
    keep: Keep = Path("models-grid"),
    out: Out = Path("docs/results/ablation.md"),
) -> None:
    """Train the Lattice Network with one thing changed at a time: all with one seed first, then with the next.

    Examples:

      python -m benchmarks.ablation --warehouse warehouse --budget 480
    """
    target = Target.parse(space, warehouse, group)
    manifest = current_manifest(target)
    users = user_ids(target.space)
    revision, store = code(), Store(keep)
    changed = supervision(manifest)
    variants: dict[str, dict[str, Any]] = {BASE: {}, **NETWORK, **changed}

    def cell(name: str, seed: int) -> Cell:
        system = System(name=name, kind=LATTICE)
        settings = system.settings({**system.start, **variants[name]}, manifest, seed, users)
        return Cell(
            part=Part(), kind=LATTICE, settings=settings, split="test", rows=rows, data=manifest.fingerprint,
            code=revision,
        )  # fmt: skip

    def cells() -> Iterator[tuple[str, Cell]]:
        for seed in range(1, seeds + 1):
            for name in variants:
                yield f"{name}, seed {seed}", cell(name, seed)

    if budget:
        torch.set_num_threads(1)
        fill(cells, Runner(Source(manifest=manifest, folder=keep), users), store, budget)

    def stands(name: str) -> Standing | None:
        # Paired by seed as well: those that both have.
        both = [s for s in range(1, seeds + 1) if {cell(n, s).key for n in (BASE, name)} <= set(store.outcomes)]
        own, base = ([[cell(n, seed)] for seed in both] for n in (name, BASE))
        found = standing(name, own, store)
        if found is None or name == BASE:
            return found
        return found.model_copy(update={"behind": difference(own, base, store)})

    network, supervised = (tuple(filter(None, map(stands, names))) for names in (NETWORK, changed))
    result = Ablated(
        command=shlex.join(["python", "-m", "benchmarks.ablation", *sys.argv[1:]]),
        machine=Machine.here(),
        space=target.space.name,
        group=target.group,
        sample=manifest.sample,
        fingerprint=manifest.fingerprint,
        training_rows=manifest.tables["training"].rows,
        rows=rows,
        seeds=seeds,
        base=stands(BASE),
        network=network,
        supervision=supervised,
    )
    image = out.parent.parent / "images" / f"{out.stem}.png"
    for folder in (out.parent, image.parent):
        folder.mkdir(parents=True, exist_ok=True)
    save(result, page(result, f"../images/{image.name}"), out)
    draw(result, image)
    print(f"Results: {out}")


if __name__ == "__main__":
    options.script(ablation)
