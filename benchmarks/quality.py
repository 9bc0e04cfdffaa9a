"""Lattice beside LightGBM on the same features, rows and split: ``python -m benchmarks.quality``.

Takes the demo's model (run ``lattice demo`` first) and trains LightGBM only.
"""

import resource
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer
from rich.console import Console

from benchmarks.closed_rows import write_closed_rows
from benchmarks.flat import FlatRows, flat_rows
from benchmarks.models.systems import user_ids
from benchmarks.quality_page import page
from benchmarks.quality_result import Machine, QualityResult
from benchmarks.trees import MOST_TREES, PATIENCE, SETTINGS, fit_and_predict, known_when_closed, known_when_zipped
from jobs import options
from jobs.models import find_model, pinned_files
from jobs.target import Target
from lattice_model.evaluation.comparison import compare
from lattice_model.evaluation.predictions import KEYS, predict
from lattice_model.loader import Loader, Selection
from lattice_model.training.checkpoint import load
from lattice_model.training.log import TrainingLog
from lattice_model.training.trainer import CHECKPOINT, LOG
from schemas.manifest import Split, TrainingManifest

_ROWS_A_BATCH = 8192
console = Console(stderr=True)


def run(target: Target, model: str | None, command: str) -> QualityResult:
    """Compare the model with both variants of LightGBM on the test range."""
    folder = find_model(target, "test", model)
    checkpoint = load(folder / CHECKPOINT)
    manifest = checkpoint.manifest
    # The user's own id: its many values invite trees to learn single users by heart.
    left_out = user_ids(target.space)
    seconds = {"Lattice: training, from its log": TrainingLog.read(folder / LOG).seconds}
    evaluated, training = (pinned_files(manifest.tables[name]) for name in ("evaluation", "training"))

    def flat(files: Sequence[str], keys: Sequence[str], split: Split | None = None) -> FlatRows:
        return flat_rows(_loader(files, manifest, keys, split).epoch(), manifest, left_out)

    with _timed("Lattice: predicting", seconds):
        lattice = predict(checkpoint.network, _loader(evaluated, manifest, KEYS, "test").epoch(), manifest)
    with _timed("evaluation rows: reading", seconds):
        validation, test = flat(evaluated, KEYS, "validation"), flat(evaluated, KEYS, "test")
    with _timed("LightGBM zipped: reading and training", seconds):
        rows = flat(training, ("available_time",))
        zipped, fitted_zipped = fit_and_predict(rows, known_when_zipped(rows, manifest), validation, test, manifest)
        del rows
    with TemporaryDirectory() as scratch:
        with _timed("closed rows: joining features and labels", seconds):
            files = _in_own_process(target, manifest, f"{scratch}/rows")
        with _timed("LightGBM closed: reading and training", seconds):
            rows = flat(files, ("impression_time",))
            closed, fitted_closed = fit_and_predict(rows, known_when_closed(rows, manifest), validation, test, manifest)
    with _timed("bootstrap", seconds):
        first = (f"Lattice {folder.name}", lattice)
        with_zipped, with_closed = (
            compare(first, (f"LightGBM {name}", peer), split="test")
            for name, peer in (("zipped", zipped), ("closed", closed))
        )
    return QualityResult(
        space=manifest.space,
        group=manifest.group,
        model=folder.name,
        fingerprint=manifest.fingerprint,
        tables=manifest.tables,
        left_out=left_out,
        zipped=with_zipped,
        closed=with_closed,
        fitted_zipped=fitted_zipped,
        fitted_closed=fitted_closed,
        settings={**SETTINGS, "num_boost_round": MOST_TREES, "early_stopping_round": PATIENCE},
        seconds=seconds,
        peak_gib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        command=command,
        machine=Machine.here(),
    )


def _loader(files: Sequence[str], manifest: TrainingManifest, keys: Sequence[str], split: Split | None) -> Loader:
    selection = Selection(split=split)
    return Loader(files, manifest, batch_size=_ROWS_A_BATCH, shuffle=False, keys=keys, selection=selection)


def _in_own_process(target: Target, manifest: TrainingManifest, folder: str) -> list[str]:
    """``write_closed_rows`` in a process that ends, so that Spark's memory is free when LightGBM needs it."""
    with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")) as process:
        return process.submit(write_closed_rows, target.space, target.group, manifest, folder).result()


@contextmanager
def _timed(step: str, seconds: dict[str, float]) -> Iterator[None]:
    started = time.monotonic()
    with console.status(step):
        yield
    seconds[step] = time.monotonic() - started
    console.print(f"{step}: {seconds[step]:.0f} s", highlight=False)


def quality(
    space: options.Space = options.DEFAULT_SPACE,
    warehouse: options.Warehouse = options.DEFAULT_WAREHOUSE,
    group: options.Group = options.DEFAULT_GROUP,
    models: options.Models = None,
    model: Annotated[str | None, typer.Option("--model", help="A model's name. Default: the latest for test.")] = None,
    out: Annotated[Path, typer.Option("--out", help="The folder for quality.md and .json.")] = Path("docs/results"),
    as_json: options.Json = False,
) -> None:
    """Compare a trained Lattice Network with LightGBM, portfolio by portfolio, on the test range.

    Examples:

      python -m benchmarks.quality --warehouse warehouse
    """
    command = " ".join(["python -m benchmarks.quality", *sys.argv[1:]])
    result = run(Target.parse(space, warehouse, group, models=models), model, command)
    out.mkdir(parents=True, exist_ok=True)
    result.write(out / "quality.json")
    (out / "quality.md").write_text(page(result), encoding="utf-8")
    if as_json:
        print(result.model_dump_json(indent=2))
    else:
        Console().print(*result.tables_of_metrics())
        print(f"Results: {out / 'quality.md'}, {out / 'quality.json'}")


if __name__ == "__main__":
    options.script(quality)
