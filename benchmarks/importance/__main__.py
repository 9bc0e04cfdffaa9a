"""``python -m benchmarks.importance``: the engine beside captum and scikit-learn, on one model and the same rows.

Captum is in no lock of ours; what it needs besides itself is there:

  pip install --target /tmp/captum --no-deps captum==0.8.0
  python -m benchmarks.importance --warehouse warehouse --captum /tmp/captum

Times are CPU seconds of one thread, so that other work on the machine disturbs them little. Permutation by permutation
every n-th feature is measured; what all of them would take follows from that and, for the engine, from what it takes to
begin with. As `lattice importance` runs, the engine stops early where a feature is worth next to nothing: so it
measures all of them, beside what as many permutations as it makes at most take the others.
"""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeVar

import numpy as np
import torch
import typer
from rich.console import Console

from benchmarks.importance.peers import Floats, WholeModel, captum_importance, sklearn_importance
from benchmarks.quality_result import Machine
from benchmarks.results import Out, Result, save
from jobs import options
from jobs.models import find_model, pinned_files
from jobs.target import Target
from lattice_model.importance.config import ImportanceConfig
from lattice_model.importance.engine import Engine
from lattice_model.importance.features import features_of
from lattice_model.importance.rows import KEYS, Rows
from lattice_model.importance.tasks import domain_tasks
from lattice_model.loader import Loader, Selection
from lattice_model.training.checkpoint import load
from lattice_model.training.trainer import CHECKPOINT

console = Console(stderr=True)
_ROWS_A_BATCH = 4096
_Found = TypeVar("_Found")


class Beside(Result):
    """CPU seconds: to begin with, for the measured features at one permutation each, and for all, stopping early."""

    begin: float
    ours: float
    captum: float
    sklearn: float
    stopping: float
    repeats: int
    """Permutations of a feature at most, while stopping early."""
    negligible: float
    pairs: int
    """Features and domains that have them."""
    stopped: int
    """Of them, those that stopped before the last permutation."""
    sampled: int
    """Of these, those for which a sample of the rows was enough."""
    overlooked: float
    """The largest importance of any that stopped, by one permutation of all rows: of the measured features."""
    features: int
    measured: int
    rows: int
    tasks: int
    difference: float
    """The largest of any feature and task, to captum with the same permutations."""
    largest: float
    """The largest importance among them, for scale."""
    command: str
    busy: float
    """Processes that wanted a core on average in the last minute, at the end."""
    machine: Machine

    def whole(self, seconds: float, begin: float = 0.0) -> float:
        """CPU seconds for all features."""
        return begin + seconds * self.features / self.measured


def timed(work: Callable[[], _Found]) -> tuple[_Found, float]:
    """The result, and CPU seconds."""
    started = time.process_time()
    found = work()
    return found, time.process_time() - started


def page(result: Beside) -> str:
    """The result as Markdown."""
    ours = result.whole(result.ours, result.begin)
    lines = [
        "# Permutation importance beside captum and scikit-learn",
        "",
        f"One trained model, {result.rows:,} validation rows, {result.tasks} tasks, one permutation a feature; CPU "
        f"seconds of one thread. {result.measured} of the {result.features} ids and numbers were measured, and what "
        f"all take follows from them. By `{result.command}`.",
        "",
        "| | to begin with | a feature | all features | times ours |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for name, begin, seconds in (
        ("`lattice_model.importance`", result.begin, result.ours),
        ("captum `FeaturePermutation`", 0.0, result.captum),
        ("scikit-learn `permutation_importance`", 0.0, result.sklearn),
    ):
        whole = result.whole(seconds, begin)
        lines.append(f"| {name} | {begin:.1f} | {seconds / result.measured:.3f} | {whole:.0f} | {whole / ours:.1f} |")
    ours = result.begin + result.stopping
    lines += [
        "",
        f"As `lattice importance` runs: {result.repeats} permutations at most, and none of the rows that are left "
        f"where a feature is surely worth less than {result.negligible:g} NE to every task of a domain. All "
        f"{result.features} features were measured; the others know no such end.",
        "",
        "| | all features | times ours |",
        "| --- | ---: | ---: |",
        f"| `lattice_model.importance` | {ours:.0f} | 1.0 |",
    ]
    for name, seconds in (
        ("captum `FeaturePermutation`", result.captum),
        ("scikit-learn `permutation_importance`", result.sklearn),
    ):
        whole = result.whole(seconds) * result.repeats
        lines.append(f"| {name} | {whole:.0f} | {whole / ours:.1f} |")
    return "\n".join(
        [
            *lines,
            "",
            f"Of {result.pairs} pairs of a feature and a domain {result.stopped} stopped before the last permutation, "
            f"{result.sampled} of them after a sample of the rows. Of those among the measured features the one worth "
            f"most is worth {result.overlooked:.1e} by a permutation of all rows.",
            "",
            f"With the same permutations the largest difference to captum's numbers is {result.difference:.1e}, where "
            f"the largest importance is {result.largest:.1e}. scikit-learn shuffles over all domains, which is another "
            "question; its time alone is compared. To begin with: tokens of all features and the losses of the rows as "
            "they are; reading is not in it, as all three read the same.",
            "",
            f"{result.machine} Shared with other work: {result.busy:.1f} processes wanted a core in the last minute.",
            "",
        ]
    )


def main(
    captum: Annotated[Path, typer.Option("--captum", help="The folder that captum is installed in.")],
    space: options.Space = options.DEFAULT_SPACE,
    warehouse: options.Warehouse = options.DEFAULT_WAREHOUSE,
    group: options.Group = options.DEFAULT_GROUP,
    split: options.SplitName = options.SplitChoice.validation,
    rows: Annotated[int, typer.Option("--rows", min=1, help="At most so many, in whole batches.")] = 20_000,
    every: Annotated[int, typer.Option("--every", min=1, help="Measure every n-th feature.")] = 10,
    out: Out = Path("docs/results/importance.md"),
) -> None:
    """Compare the latest model of ``split``: what is measured is speed, so that it may have seen the rows."""
    sys.path.append(str(captum))
    torch.set_num_threads(1)
    target = Target.parse(space, warehouse, group)
    checkpoint = load(find_model(target, split.value, None) / CHECKPOINT)
    manifest = checkpoint.manifest
    loader = Loader(
        pinned_files(manifest.tables["evaluation"]), manifest, batch_size=_ROWS_A_BATCH, shuffle=False, keys=KEYS,
        selection=Selection(split="validation"),
    )  # fmt: skip
    epoch = loader.epoch()
    read = Rows.read([next(epoch) for _ in range(max(1, min(rows // _ROWS_A_BATCH, loader.steps)))], manifest)
    whole = WholeModel(checkpoint.network.eval(), read)
    features = [feature for feature in features_of(manifest) if feature.kind != "sequence"]
    chosen = features[::every]
    names = [feature.name for feature in chosen]
    engine, begin = timed(lambda: Engine(checkpoint.network, read, ImportanceConfig(repeats=1, seed=1, negligible=0.0)))
    found, ours = timed(lambda: engine.measure(chosen))
    console.print(f"ours: {begin:.1f} s, then {ours:.1f} s", highlight=False)
    config = ImportanceConfig()
    stopping = Engine(checkpoint.network, read, config)
    early, of_early = timed(lambda: stopping.measure(features))
    console.print(f"ours, stopping early: {of_early:.1f} s", highlight=False)
    theirs, of_captum = timed(lambda: captum_importance(whole, names, seed=1))
    console.print(f"captum: {of_captum:.1f} s", highlight=False)
    _, of_sklearn = timed(lambda: sklearn_importance(whole, names, seed=1))
    console.print(f"scikit-learn: {of_sklearn:.1f} s", highlight=False)
    by_task = {(part.feature, part.domain, part.objective): part.mean for part in found}
    means: Floats = np.array([[by_task[name, *task] for task in whole.tasks] for name in names])
    having = {feature.name: feature.domains for feature in features}
    labelled = {
        (part.domain, objective): part.labelled_RO[:, i].sum()
        for part in domain_tasks(read)
        for i, objective in enumerate(part.objectives)
    }
    pairs = {
        (part.feature, part.domain): (part.repeats, part.rows / labelled[part.domain, part.objective])
        for part in early
        if part.domain in having[part.feature]
    }
    stopped = {pair for pair, (repeats, share) in pairs.items() if repeats < config.repeats or share < 1}
    result = Beside(
        begin=begin, ours=ours, stopping=of_early, captum=of_captum, sklearn=of_sklearn,
        repeats=config.repeats, negligible=config.negligible, pairs=len(pairs), stopped=len(stopped),
        sampled=sum(share < 1 for _, share in pairs.values()),
        overlooked=max((part.mean for part in found if (part.feature, part.domain) in stopped), default=0.0),
        features=len(features), measured=len(chosen), rows=len(read.domain_R), tasks=len(whole.tasks),
        difference=float(np.abs(means - theirs).max()), largest=float(np.abs(theirs).max()),
        command=f"python -m benchmarks.importance --split {split.value} --rows {rows} --every {every} --captum FOLDER",
        busy=os.getloadavg()[0], machine=Machine.here(),
    )  # fmt: skip
    save(result, page(result), out)
    print(page(result))


if __name__ == "__main__":
    typer.run(main)
