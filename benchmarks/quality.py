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
from benchmarks.quality_page import page
from benchmarks.quality_result import Machine, QualityResult
from benchmarks.trees import MOST_TREES, PATIENCE, SETTINGS, Fitted, fit_and_predict, known_when_closed, known_when_zipped
from jobs import options
from jobs.models import find_model, pinned_files
from jobs.target import Target
from lattice_model.evaluation.comparison import compare
from lattice_model.evaluation.predictions import KEYS, Predictions, predict
from lattice_model.loader import Loader, Selection
from lattice_model.training.checkpoint import load
from lattice_model.training.log import TrainingLog
from lattice_model.training.trainer import CHECKPOINT, LOG
from schemas.manifest import Split, TrainingManifest
from schemas.space import ModelSpace

_ROWS_A_BATCH = 8192
console = Console(stderr=True)


def run(target: Target, model: str | None, command: str) -> QualityResult:
    """Compare the model with both variants, on the test range."""
    folder = find_model(target, "test", model)
    checkpoint = load(folder / CHECKPOINT)
    manifest = checkpoint.manifest
    # The prototype behind DATA.md found that an id of the user makes a model worse; Lattice has it, with dropout.
    left_out = tuple(name for name, part in target.space.features.categorical.items() if part.column == "user_id")
    seconds = {"Lattice, training (in its log)": TrainingLog.read(folder / LOG).seconds}

    with _timed("Lattice, predicting", seconds):
        ours = predict(checkpoint.network, _loader(manifest, "evaluation", KEYS, "test").epoch(), manifest)
    with _timed("evaluation rows, reading", seconds):
        held, test = (
            flat_rows(_loader(manifest, "evaluation", KEYS, split).epoch(), manifest, left_out)
            for split in ("validation", "test")
        )
    with _timed("LightGBM zipped, reading and training", seconds):
        rows = flat_rows(_loader(manifest, "training", ("available_time",)).epoch(), manifest, left_out)
        zipped, fitted_zipped = fit_and_predict(rows, known_when_zipped(rows, manifest), held, test, manifest)
        del rows
    with TemporaryDirectory() as scratch:
        with _timed("closed rows, joining with labels", seconds):
            files = _closed_files(target.space, target.group, manifest, scratch)
        with _timed("LightGBM closed, reading and training", seconds):
            rows = flat_rows(Loader(files, manifest, batch_size=_ROWS_A_BATCH, shuffle=False, keys=("impression_time",)).epoch(), manifest, left_out)
            closed, fitted_closed = fit_and_predict(rows, known_when_closed(rows, manifest), held, test, manifest)
