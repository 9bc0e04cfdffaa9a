"""What BF16 and FP8 cost in quality, in training and in inference alone, on a built group (``lattice build`` first).

``python -m benchmarks.precision --warehouse W`` trains the same network by the same batches in float32, BF16 and FP8,
and lets the float32 one also predict in BF16 and with FP8 weights. Each is held against float32 on the same rows, with
intervals over users. Without a GPU that has FP8 kernels FP8 is emulated: the same rounding, and no speed to measure.
"""

import copy
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console

from benchmarks.counts import COMPARED
from benchmarks.quality_result import Machine
from benchmarks.results import Out, Result, Scratch, save
from jobs import options
from jobs.models import current_manifest, pinned_files
from jobs.target import Target
from lattice_model.evaluation.comparison import compare
from lattice_model.evaluation.evaluate import evaluate
from lattice_model.evaluation.predictions import KEYS, Predictions, predict
from lattice_model.evaluation.results import Interval
from lattice_model.export import archive
from lattice_model.export.float8 import Scaling, use_float8_weights
from lattice_model.loader import Loader, Selection
from lattice_model.models import configure
from lattice_model.network import Hyperparameters
from lattice_model.network.model import Model
from lattice_model.training.checkpoint import load
from lattice_model.training.config import Precision, TrainingConfig
from lattice_model.training.precision import apply_precision
from lattice_model.training.trainer import CHECKPOINT, train
from schemas.manifest import Split, TrainingManifest

BF16 = Precision(processors="bf16", mixing="bf16", transformer="bf16", fusion="bf16", heads="bf16")
FP8 = Precision(processors="fp8", mixing="bf16", transformer="fp8", fusion="fp8", heads="fp8")
TRAINED: dict[str, dict[str, Precision | int]] = {
    "float32": {},
    "float32, another seed": {"seed": 2},
    "BF16": {"precision": BF16},
    "FP8, a scale a row": {"precision": FP8},
    "FP8, a scale a matrix": {"precision": FP8.model_copy(update={"scaling": "tensorwise"})},
}
"""Settings by way; the second one shows what differs by chance."""
STORED: dict[str, Scaling] = {"a scale a row": "rowwise", "a scale a matrix": "tensorwise"}
_EVALUATED = 8192
console = Console(stderr=True)


class Judged(Result):
    """One way, and its difference from float32 (positive: higher)."""

    way: str
    auc: float | None
    normalized_entropy: float | None
    auc_difference: Interval | None = None
    ne_difference: Interval | None = None
    bytes: int | None = None
    """Of the exported program."""


class Precisions(Result):
    """Everything that was measured."""

    space: str
    split: Split
    rows: int
    evaluated: int
    settings: dict[str, int | float]
    judged: tuple[Judged, ...]
    machine: Machine


def judge(way: str, found: Predictions, exact: Predictions, split: Split, size: int | None = None) -> Judged:
    means = evaluate(found, model=way, split=split).slices[0].means
    differences = None if found is exact else compare((way, found), ("float32", exact), split=split)
    return Judged(
        way=way,
        auc=means.auc,
        normalized_entropy=means.normalized_entropy,
        auc_difference=differences and differences.mean_auc,
        ne_difference=differences and differences.mean_normalized_entropy,
        bytes=size,
    )


def exported_bytes(network: Model, manifest: TrainingManifest, split: Split, float8: Scaling | None) -> int:
    with tempfile.TemporaryDirectory() as folder:
        archive.write(Path(folder) / "it", network, manifest, model="it", split=split, float8=float8)
        return (Path(folder) / "it" / archive.PROGRAM).stat().st_size


def run(target: Target, split: Split, config: TrainingConfig, scratch: Path) -> Precisions:
    """Train, predict and compare."""
    manifest = current_manifest(target)
    batches = Loader(
        pinned_files(manifest.tables["training"]),
        manifest,
        batch_size=config.batch_size,
        seed=config.seed,
        selection=Selection(available_before=manifest.cuts[split]),
    )
    evaluated = Loader(
        pinned_files(manifest.tables["evaluation"]),
        manifest,
        batch_size=_EVALUATED,
        shuffle=False,
        keys=KEYS,
        selection=Selection(split=split),
    )
    network_config = configure(Hyperparameters(), manifest, split, batches.survey.base_rates())

    def predictions(way: str, change: Callable[[Model], object] | None, folder: str) -> Predictions:
        console.print(f"{way}: predicting {evaluated.rows:,} rows", highlight=False)
        network = load(scratch / folder / CHECKPOINT).network
        if change is not None:
            change(network)
        return predict(network, evaluated.epoch(), manifest)

    judged = []
    for way, settings in TRAINED.items():
        folder = way.replace(" ", "_")
        train(
            config=config.model_copy(update=settings),
            network_config=network_config,
            batches=batches,
            manifest=manifest,
            split=split,
            folder=scratch / folder,
            console=console,
        )
        found = predictions(f"trained in {way}", None, folder)
        if not settings:
            exact, network = found, load(scratch / folder / CHECKPOINT).network
            size = exported_bytes(copy.deepcopy(network), manifest, split, None)
            judged.append(judge("float32", exact, exact, split, size))
        else:
            judged.append(judge(f"trained in {way}", found, exact, split))
    found = predictions(
        "BF16 inference", partial(apply_precision, precision=BF16, device=torch.device("cpu")), "float32"
    )
    judged.append(judge("trained in float32, inference in BF16", found, exact, split))
    for name, scaling in STORED.items():
        way = f"trained in float32, FP8 weights, {name}"
        found = predictions(way, partial(use_float8_weights, scaling=scaling), "float32")
        judged.append(judge(way, found, exact, split, exported_bytes(network, manifest, split, scaling)))
    return Precisions(
        space=manifest.space,
        split=split,
        rows=batches.rows,
        evaluated=evaluated.rows,
        settings={"steps": config.steps or 0, "batch_size": config.batch_size, "seed": config.seed},
        judged=tuple(judged),
        machine=Machine.here(),
    )


def page(result: Precisions) -> str:
    """The result as Markdown."""
    settings = ", ".join(f"{name} {value}" for name, value in result.settings.items())
    lines = [
        "# Quality by number format",
        "",
        f"Lattice Networks of the default settings on `{result.space}` ({settings}), trained on up to {result.rows:,} "
        f"rows, judged on the {result.evaluated:,} of the {result.split} range, by `python -m benchmarks.precision`. "
        "Metrics are means over the portfolios with enough positives; differences are from float32 on the same rows, "
        "with 95 % intervals over users. Training in another format also rounds another way, which moves a model as "
        "another seed does; the line of another seed (of weights and dropout, with the same batches) says how far. FP8 "
        "is emulated where a machine has no kernels for it: the same rounding, no speed.",
        "",
        "| way | AUC | difference | NE | difference | program, MiB |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for part in result.judged:
        cells = (
            part.way, _number(part.auc), _interval(part.auc_difference), _number(part.normalized_entropy),
            _interval(part.ne_difference), f"{part.bytes / 2**20:.2f}" if part.bytes else "",
        )  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, "", str(result.machine), ""])


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _interval(value: Interval | None) -> str:
    if value is None or value.estimate is None or value.low is None or value.high is None:
        return ""
    return f"{value.estimate:+.5f} ({value.low:+.5f} to {value.high:+.5f})"


def main(
    space: options.Space = COMPARED,
    warehouse: options.Warehouse = options.DEFAULT_WAREHOUSE,
    group: options.Group = options.DEFAULT_GROUP,
    split: options.SplitName = options.SplitChoice.test,
    steps: Annotated[int, typer.Option("--steps", help="Of each training.")] = 300,
    batch_size: Annotated[int, typer.Option("--batch-size", help="Rows a step.")] = 1024,
    scratch: Scratch = None,
    out: Out = Path("docs/results/precision.md"),
) -> None:
    """Measure what BF16 and FP8 cost in quality.

    Examples:

      python -m benchmarks.precision --warehouse warehouse --steps 500
    """
    target = Target.parse(space, warehouse, group)
    config = TrainingConfig(steps=steps, batch_size=batch_size, epochs=1000)
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        result = run(target, split.value, config, Path(folder))
    save(result, page(result), out)
    print(page(result))


if __name__ == "__main__":
    typer.run(main)
