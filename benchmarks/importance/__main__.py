"""``python -m benchmarks.importance``: the engine beside captum and scikit-learn, on one model and the same rows.

Captum is in no lock of ours; what it needs besides itself is there:

  pip install --target /tmp/captum --no-deps captum==0.8.0
  python -m benchmarks.importance --warehouse warehouse --captum /tmp/captum

Times are CPU seconds of one thread, so that other work on the machine disturbs them little. The engine measures every
feature, as `lattice importance` does by default. The others, and the engine when it is asked to be exact, take longer:
every n-th feature is measured, by one permutation if it is the others, and what all would take follows from that.
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
from lattice_model.allocation import keep_freed_memory
from lattice_model.importance.config import ImportanceConfig
from lattice_model.importance.engine import Engine
from lattice_model.importance.features import features_of
from lattice_model.importance.rows import KEYS, Rows
from lattice_model.loader import Loader, Selection
from lattice_model.training.checkpoint import load
from lattice_model.training.trainer import CHECKPOINT

console = Console(stderr=True)
_ROWS_A_BATCH = 4096
_Found = TypeVar("_Found")


class Beside(Result):
    """CPU seconds."""

    repeats: int
    """Permutations of a feature, at most."""
    begin: float
    ours: float
    """For all features and repeats."""
    whole: int
    """Pairs of a feature and a domain, of ``pairs``, of which the network had to run on all rows that change."""
    pairs: int
    error: float
    """The largest difference to the exact numbers of the measured features, in standard errors of these."""
    wider: float
    """The largest standard error, over the exact one."""
    exact_begin: float
    exact: float
    """For the measured features and all repeats."""
    captum: float
    """For the measured features and one permutation, as the next."""
    sklearn: float
    features: int
    measured: int
    rows: int
    tasks: int
    difference: float
    """The largest of any feature and task, exact, to captum with the same permutations."""
    largest: float
    """The largest importance among them, for scale."""
    command: str
    busy: float
    """Processes that wanted a core on average in the last minute, at the end."""
    machine: Machine

    def all(self, seconds: float, begin: float = 0.0) -> float:
        """CPU seconds for all features."""
        return begin + seconds * self.features / self.measured


def timed(work: Callable[[], _Found]) -> tuple[_Found, float]:
    """The result, and CPU seconds."""
    started = time.process_time()
    found = work()
    return found, time.process_time() - started


def page(result: Beside) -> str:
    """The result as Markdown."""
    ours = result.begin + result.ours
    lines = [
        "# Permutation importance beside captum and scikit-learn",
        "",
        f"One trained model, {result.rows:,} validation rows, {result.tasks} tasks, {result.repeats} permutations a "
        f"feature; CPU seconds of one thread. All {result.features} ids and numbers were measured by the engine as it "
        f"runs by default, {result.measured} of them in the other ways, captum's and scikit-learn's by one "
        f"permutation; what all take follows from these. By `{result.command}`.",
        "",
        "| | to begin with | a feature | all features | times ours |",
        "| --- | ---: | ---: | ---: | ---: |",
        f"| `lattice importance` | {result.begin:.1f} | {result.ours / result.features:.3f} | {ours:.0f} | 1.0 |",
    ]
    for name, begin, seconds in (
        ("`lattice importance --exact`", result.exact_begin, result.exact),
        ("captum `FeaturePermutation`", 0.0, result.captum * result.repeats),
        ("scikit-learn `permutation_importance`", 0.0, result.sklearn * result.repeats),
    ):
        every = result.all(seconds, begin)
        lines.append(f"| {name} | {begin:.1f} | {seconds / result.measured:.3f} | {every:.0f} | {every / ours:.1f} |")
    return "\n".join(
        [
            *lines,
            "",
            f"By default the network runs on a sample of the rows where that is enough; for {result.whole} of "
            f"{result.pairs} pairs of a feature and a domain it ran on all. The numbers are at most {result.error:.2f} "
            f"standard errors from the exact ones, and a standard error is at most {result.wider:.2f} times the exact "
            "one.",
            "",
            f"With the same permutations the largest difference of the exact numbers to captum's is "
            f"{result.difference:.1e}, where the largest importance is {result.largest:.1e}. scikit-learn shuffles "
            "over all domains, which is another question; its time alone is compared. To begin with: tokens of all "
            "features, the losses of the rows as they are and, by default, the slopes of the logits; reading is not in "
            "it, as all read the same.",
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
    theirs, of_captum = timed(lambda: captum_importance(whole, names, seed=1))
    console.print(f"captum: {of_captum:.1f} s", highlight=False)
    _, of_sklearn = timed(lambda: sklearn_importance(whole, names, seed=1))
    console.print(f"scikit-learn: {of_sklearn:.1f} s", highlight=False)
    keep_freed_memory()  # as the executors of `lattice importance` do
    config = ImportanceConfig(seed=1)
    engine, begin = timed(lambda: Engine(checkpoint.network, read, config))
    found, ours = timed(lambda: engine.measure(features))
    console.print(f"ours: {begin:.1f} s, then {ours:.1f} s", highlight=False)
    as_asked = config.model_copy(update={"exact": True})
    exact, exact_begin = timed(lambda: Engine(checkpoint.network, read, as_asked))
    truth, of_exact = timed(lambda: exact.measure(chosen))
    console.print(f"exact: {exact_begin:.1f} s, then {of_exact:.1f} s", highlight=False)
    once = Engine(checkpoint.network, read, as_asked.model_copy(update={"repeats": 1})).measure(chosen)
    by_name = {(part.feature, part.domain, part.objective): part.mean for part in once}
    means: Floats = np.array([[by_name[name, *task] for task in whole.tasks] for name in names])
    by_task = {(part.feature, part.domain, part.objective): part for part in truth}
    beside = [
        (part, true)
        for part in found
        if (true := by_task.get((part.feature, part.domain, part.objective))) and true.standard_error > 0
    ]
    result = Beside(
        repeats=config.repeats, begin=begin, ours=ours,
        whole=len(engine.whole), pairs=sum(len(feature.domains) for feature in features),
        error=max(abs(part.mean - true.mean) / true.standard_error for part, true in beside),
        wider=max(part.standard_error / true.standard_error for part, true in beside),
        exact_begin=exact_begin, exact=of_exact, captum=of_captum, sklearn=of_sklearn,
        features=len(features), measured=len(chosen), rows=len(read.domain_R), tasks=len(whole.tasks),
        difference=float(np.abs(means - theirs).max()), largest=float(np.abs(theirs).max()),
        command=f"python -m benchmarks.importance --split {split.value} --rows {rows} --every {every} --captum FOLDER",
        busy=os.getloadavg()[0], machine=Machine.here(),
    )  # fmt: skip
    save(result, page(result), out)
    print(page(result))


if __name__ == "__main__":
    typer.run(main)
