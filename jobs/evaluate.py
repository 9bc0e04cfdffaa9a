"""``lattice evaluate``: a model's metrics on the evaluation table, per portfolio."""

from pathlib import Path

import torch
from rich import box
from rich.console import Console
from rich.table import Column, Table

from jobs import options
from jobs.models import METRICS, PREDICTIONS, find_model, pinned_files
from jobs.target import Target
from lattice_model.evaluation.evaluate import evaluate as measure
from lattice_model.evaluation.predictions import KEYS, Slice, predict
from lattice_model.evaluation.results import MetricsReport
from lattice_model.loader import Loader, Selection
from lattice_model.training.checkpoint import load
from lattice_model.training.trainer import CHECKPOINT
from schemas.space import ModelSpace

_ROWS_A_BATCH = 8192
# In a log file a table has 80 characters.
_COLUMNS = ("rows", "positives", "rate", "AUC", "NE", "BCE", "calib.")


def evaluate_model(folder: Path, space: ModelSpace) -> MetricsReport:
    """Metrics on the split that the model was trained for, unless they are there; predictions lie beside them."""
    if (folder / METRICS).is_file():
        Console(stderr=True).print("evaluate: skipped, its metrics are finished (same model and table)")
        return MetricsReport.read(folder / METRICS)
    checkpoint = load(folder / CHECKPOINT)
    manifest = checkpoint.manifest
    slices = [
        Slice(column=s.feature, value=str(s.equals), domains=domains, title=s.title or name.replace("_", " "))
        for name, s in space.slices.items()
        if (domains := tuple(domain for domain in s.domains if domain in manifest.domains))
    ]
    loader = Loader(
        pinned_files(manifest.tables["evaluation"]),
        manifest,
        batch_size=_ROWS_A_BATCH,
        shuffle=False,
        keys=(*KEYS, *dict.fromkeys(part.column for part in slices)),
        selection=Selection(split=checkpoint.split),
    )
    console = Console(stderr=True)
    with console.status(f"evaluate: {loader.rows:,} rows"):
        device = "cuda" if torch.cuda.is_available() else "cpu"
        predictions = predict(checkpoint.network, loader.epoch(), manifest, device)
        report = measure(predictions, model=folder.name, split=checkpoint.split, slices=slices)
        predictions.write(folder / PREDICTIONS)
        report.write(folder / METRICS)
    return report


def show_metrics(report: MetricsReport, console: Console) -> None:
    """Print the table of metrics, a row a portfolio."""
    every = report.slices[0]
    shown = Table(
        Column("portfolio", no_wrap=True),
        *(Column(name, justify="right", no_wrap=True) for name in _COLUMNS),
        box=box.SIMPLE_HEAD,
        padding=(0, 0),
        pad_edge=False,
        title=f"{report.split} metrics of model {report.model} ({report.rows:,} rows, {report.users:,} users)",
    )
    for part in every.portfolios:
        window = f"/{part.window}" if part.window else ""
        values = (part.base_rate, part.auc, part.normalized_entropy, part.bce, part.calibration)
        numbers = ["" if value is None else f"{value:.4f}" for value in values]
        label = f"{part.domain}/{part.objective}{window}" + ("" if part.in_mean else " *")
        shown.add_row(label, f"{part.rows:,}", f"{part.positives:,}", *numbers)
    means = every.means
    if means.auc is not None and means.normalized_entropy is not None:
        shown.add_section()
        label = f"mean of {means.portfolios}"
        shown.add_row(label, "", "", "", f"{means.auc:.4f}", f"{means.normalized_entropy:.4f}", "", "")
    shown.caption = (
        f"* fewer than {report.minimum_positives} positives or {report.minimum_users} users with one: not in the mean"
    )
    console.print(shown)


def evaluate(
    space: options.Space = options.DEFAULT_SPACE,
    warehouse: options.Warehouse = options.DEFAULT_WAREHOUSE,
    group: options.Group = options.DEFAULT_GROUP,
    models: options.Models = None,
    split: options.SplitName = options.SplitChoice.test,
    model: options.TrainedModel = None,
    as_json: options.Json = False,
) -> None:
    """Measure a model on its split: AUC, BCE, normalized entropy and calibration of every portfolio.

    Examples:

      lattice evaluate

      lattice evaluate --split validation --json
    """
    target = Target.parse(space, warehouse, group, models=models)
    report = evaluate_model(find_model(target, split.value, model), target.space)
    if as_json:
        print(report.model_dump_json(indent=2))
    else:
        show_metrics(report, Console())


if __name__ == "__main__":
    options.script(evaluate)
