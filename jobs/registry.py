"""``lattice models``: the trained models, and which of them serves."""

import json
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Column, Table

from jobs import options
from jobs.models import METRICS, SERVING, find_model, finished_models, is_repeatable, read_pointer, set_pointer
from jobs.target import Target
from lattice_model.evaluation.results import MetricsReport
from lattice_model.training.log import TrainingLog
from lattice_model.training.trainer import LOG
from schemas.errors import LatticeError

_READ = ("training", "evaluation")


def go_back(target: Target, reason: str | None) -> None:
    """Let the model serve that served before.

    Raises:
        LatticeError: none did.
    """
    pointer = read_pointer(target, SERVING)
    if pointer is None or pointer.before is None:
        raise LatticeError(
            str(target.models), "No model served before.", "Name one with --serve; `lattice models` lists them."
        )
    find_model(target, "test", pointer.before)
    set_pointer(target, SERVING, pointer.before, reason or f"back from {pointer.model}", back=True)


def listed(target: Target) -> list[dict[str, object]]:
    """What is known of each model, oldest first."""
    serving = read_pointer(target, SERVING)
    rows: list[dict[str, object]] = []
    for folder in finished_models(target):
        log = TrainingLog.read(folder / LOG)
        metrics = MetricsReport.read(folder / METRICS) if (folder / METRICS).is_file() else None
        rows.append(
            {
                "model": folder.name,
                "network": log.network,
                "split": log.split,
                "trained_before": log.cut.isoformat() if log.cut else None,
                "continued": log.continued,
                "rows": log.rows,
                "finished": datetime.fromtimestamp((folder / LOG).stat().st_mtime, UTC).isoformat(timespec="seconds"),
                "normalized_entropy": metrics.slices[0].means.normalized_entropy if metrics else None,
                "repeatable": all(is_repeatable(log.tables[name]) for name in _READ if name in log.tables),
                "serving": serving is not None and serving.model == folder.name,
            }
        )
    return rows


def models(
    space: options.Space = options.DEFAULT_SPACE,
    warehouse: options.Warehouse = options.DEFAULT_WAREHOUSE,
    group: options.Group = options.DEFAULT_GROUP,
    folder: options.Models = None,
    serve: Annotated[str | None, typer.Option("--serve", help="Let this model serve.", metavar="NAME")] = None,
    back: Annotated[bool, typer.Option("--back", help="Let the model serve that served before.")] = False,
    reason: Annotated[str | None, typer.Option("--reason", help="Why, for the history.")] = None,
    as_json: options.Json = False,
) -> None:
    """List the trained models, and say which one serves; or change that.

    Examples:

      lattice models

      lattice models --serve 3f2a9c41d07b --reason "better on new users"

      lattice models --back
    """
    target = Target.parse(space, warehouse, group, models=folder)
    if serve is not None and back:
        raise LatticeError("--serve, --back", "They contradict each other.", "Give one of them.")
    if serve is not None:
        set_pointer(target, SERVING, find_model(target, "test", serve).name, reason or "by hand")
    if back:
        go_back(target, reason)
    rows, pointer = listed(target), read_pointer(target, SERVING)
    if as_json:
        history = [entry.model_dump(mode="json") for entry in pointer.history] if pointer else []
        serving = pointer.model if pointer else None
        print(json.dumps({"serving": serving, "models": rows, "history": history}, indent=2))
        return
    _show(rows, Console())
    for entry in pointer.history if pointer else ():
        print(f"{entry.time:%Y-%m-%d %H:%M} UTC  {entry.model}  {entry.reason}")


def _show(rows: list[dict[str, object]], console: Console) -> None:
    shown = Table(
        "", "model", "network", "split", "trained before", Column("rows", justify="right"), "NE", "continues",
        "repeatable",
        box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False,
    )  # fmt: skip
    for row in rows:
        entropy = row["normalized_entropy"]
        shown.add_row(
            "serves" if row["serving"] else "",
            str(row["model"]),
            str(row["network"]),
            str(row["split"]),
            str(row["trained_before"] or "")[:16],
            f"{row['rows']:,}",
            f"{entropy:.4f}" if isinstance(entropy, float) else "",
            str(row["continued"] or ""),
            "" if row["repeatable"] else "no: users were forgotten",
        )
    console.print(shown)


if __name__ == "__main__":
    options.script(models)
